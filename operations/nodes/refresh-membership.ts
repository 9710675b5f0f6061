import { nodes } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { convergeLabels, refuseOtherMachine, refuseOtherRoles } from "./membership";
import { membershipInput, type Membership } from "./membership-input";

/**
 * The update of a membership. Never joins anew, whatever changed (a new Rancher token, a rotated host key, another checkout): it brings the labels to what the
 * file says, refuses what a member cannot change, and records the new input for the moment the node leaves.
 */
export const refreshMembership = defineOperation({
  verb: "refresh-membership",
  needs: ["kubernetes"],
  schema: membershipInput,
  run: async (input, clients): Promise<Membership> => {
    const node = await clients.kubernetes.read(nodes, input.node);
    if (!node) {
      throw new Refusal({
        what: `${input.node}: is not in the cluster any more`,
        why: "it was removed behind the program's back; an update never joins anew, since its data may be gone",
        next: `once its machine is clean, forget the membership, \`pulumi state delete '<URN of ${input.node}-membership-member>'\`, and run \`pulumi up\`: it joins again`,
      });
    }
    refuseOtherMachine(node, input);
    refuseOtherRoles(node, input);
    await convergeLabels(clients, input, node);
    return { node: input.node, address: input.address };
  },
});
