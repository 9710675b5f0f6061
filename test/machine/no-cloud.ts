import { createHash } from "node:crypto";
import { IPv4 } from "ipaddr.js";
import { stringify } from "yaml";

/** What Proxmox knows of a machine when it makes its cloud-init drive; a static address for each card. */
export interface CloudInit {
  /** The machine's name. */
  readonly name: string;
  /** `searchdomain`, and with the name the full name. */
  readonly domain: string;
  /** `nameserver`. */
  readonly nameServers: readonly string[];
  /** `ciuser`. */
  readonly user: string;
  /** `sshkeys`. */
  readonly keys: readonly string[];
  /** `net0`, `ipconfig0` and so on. */
  readonly cards: readonly { readonly mac: string; readonly address: string; readonly gateway?: string }[];
}

/**
 * The files of the drive that Proxmox VE 8 and 9 generate for `citype: nocloud` (PVE::QemuServer::Cloudinit), by name. The same data; how YAML writes it may
 * differ. The instance id is the SHA-1 of user and network data: any change of them is a new instance to cloud-init.
 */
export function noCloudFiles(given: CloudInit): Readonly<Record<string, string>> {
  const user = `#cloud-config\n${stringify({
    hostname: given.name,
    manage_etc_hosts: true,
    fqdn: `${given.name}.${given.domain}`,
    user: given.user,
    ssh_authorized_keys: given.keys,
    chpasswd: { expire: false },
    users: ["default"],
    // What Proxmox does unless `ciupgrade` says otherwise, which needs more than a token.
    package_upgrade: true,
  })}`;
  const network = stringify({
    version: 1,
    config: [
      ...given.cards.map(({ mac, address, gateway }, index) => ({
        type: "physical",
        name: `eth${index}`,
        mac_address: mac.toLowerCase(),
        subnets: [
          {
            type: "static",
            address: address.split("/")[0],
            netmask: IPv4.subnetMaskFromPrefixLength(Number(address.split("/")[1])).toString(),
            ...(gateway !== undefined && { gateway }),
          },
        ],
      })),
      { type: "nameserver", address: given.nameServers, search: [given.domain] },
    ],
  });
  const instance = createHash("sha1")
    .update(user + network)
    .digest("hex");
  return {
    "user-data": user,
    "network-config": network,
    "meta-data": `instance-id: ${instance}\n`,
    "vendor-data": "",
  };
}

/** What identifies the instance in those files. */
export function instanceOf(files: Readonly<Record<string, string>>): string {
  return files["meta-data"]?.trim().replace("instance-id: ", "") ?? "";
}
