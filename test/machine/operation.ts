import { GuestAgentSilent } from "../../operations/clients";
import { connect } from "../../operations/connect";
import { main } from "../../operations/main";
import { readGuestFile, Silent } from "./qmp";

/**
 * `operations/run <verb>` as it is, with one thing replaced: what Proxmox would ask the guest agent, this asks the same agent itself, over the socket that
 * QEMU has for it. Arguments: the verb and that socket.
 */
const [verb = "", socket = ""] = process.argv.slice(2);

void main(verb, {
  connect: async (access, needs) => {
    const clients = await connect(access, needs);
    Object.assign(clients.proxmox, {
      readGuestFile: async (_host: string, _vmId: number, path: string) => {
        try {
          return await readGuestFile(socket, path);
        } catch (error) {
          throw error instanceof Silent ? new GuestAgentSilent(error.message) : error;
        }
      },
    });
    return clients;
  },
}).then((code) => process.exit(code));
