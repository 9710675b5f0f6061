import type { Clients, Registration } from "../clients";
import { awaitFree, withLease } from "../cluster/lease";
import { nodes } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { guestUser } from "./host-key";
import { refuseOtherMachine, refuseOtherRoles, waitUntilMember } from "./membership";
import { membershipInput, type Membership, type MembershipInput } from "./membership-input";

/**
 * Makes the machine a member of the cluster, through Rancher, as it would be done by hand there. Idempotent: a member stays one, a half-joined one goes on.
 * Control plane and etcd nodes hold the cluster's Lease until they are Ready and active, so that they join one at a time, each healthy before the next. Plain
 * workers join at the same time, and only wait until nobody changes the control plane: docs/decisions/joining.md
 */
export const join = defineOperation({
  verb: "join",
  needs: ["rancher", "kubernetes", "ssh"],
  schema: membershipInput,
  run: async (input, clients) => {
    const who = `join ${input.node}`;
    if (input.roles.some((role) => role !== "worker")) {
      return withLease(clients, who, (held) => joinNow(input, clients, () => held.check()));
    }
    await awaitFree(clients, who);
    return joinNow(input, clients, async () => undefined);
  },
});

/** `check`: throws when it is no longer this node's turn. */
async function joinNow(input: MembershipInput, clients: Clients, check: () => Promise<void>): Promise<Membership> {
  const node = await clients.kubernetes.read(nodes, input.node);
  if (node) {
    refuseOtherMachine(node, input);
    refuseOtherRoles(node, input, true);
    clients.log(`${input.node}: is a member already`);
  } else {
    await refuseWhileRemoving(clients, input);
    // Asked for only now: Rancher rotates tokens, and waiting for one's turn can take an hour.
    const registration = await clients.rancher.registration();
    await check();
    await register(clients, input, registration);
  }
  return waitUntilMember(clients, input);
}

/** A node that Rancher is still removing would be swept away right after it joined. */
async function refuseWhileRemoving({ rancher }: Clients, { node }: MembershipInput): Promise<void> {
  const leaving = (await rancher.nodes()).find((known) => known.nodeName === node && known.state === "removing");
  if (!leaving) return;
  throw new Refusal({
    what: `${node}: Rancher is still removing a node of this name`,
    why: `${leaving.id} is in state removing; joining now would end in the same removal`,
    next: "wait until it is gone from Rancher's list of nodes, then run `pulumi up --refresh` again",
  });
}

async function register({ ssh, log }: Clients, input: MembershipInput, registration: Registration): Promise<void> {
  const { server, token, caChecksum = "", agentImage = "", environment = {} } = registration;
  const rke1 = input.distribution === "rke1";
  if (rke1 && agentImage === "") {
    throw new Refusal({
      what: `${input.node}: Rancher gives no command for joining an rke1 cluster`,
      why: "the registration names no agent image; Rancher 2.12 and later cannot manage rke1 any more",
      next: "check `distribution` and `rancher.clusterId` in the environment file against Rancher's page of the cluster",
    });
  }
  const { stdout } = await ssh.run(
    { address: input.address, user: guestUser, hostKey: input.hostKey },
    rke1 ? "join-rke1" : "join-agent",
    {
      NODE_NAME: input.node,
      ADDRESS: input.address,
      ROLES: input.roles.join(","),
      LABELS: Object.entries(input.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(","),
      SERVER: server,
      CA_CHECKSUM: caChecksum,
      ...(rke1 && { AGENT_IMAGE: agentImage }),
    },
    {
      TOKEN: token,
      AGENT_ENVIRONMENT: Object.entries(environment)
        .map(([key, value]) => `${key}=${value}`)
        .join("\n"),
    },
  );
  log(`${input.node}: ${stdout.trim().split("\n").at(-1) ?? ""}`);
}
