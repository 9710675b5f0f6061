import type { SecretTexts } from "../../diff/format";
import type { Edit } from "./diff";

/** An edit of the committed home environment, as somebody would put it up for review. */
export interface Mutation {
  readonly title: string;
  readonly edits: readonly Edit[];
  /** Keys of secrets that get another value. */
  readonly secrets?: readonly string[];
}

const one = (title: string, path: Edit[0], value?: unknown): Mutation => ({ title, edits: [[path, value]] });
const all = (title: string, ...edits: readonly Edit[]): Mutation => ({ title, edits });

const fourth = {
  ...{ name: "debian-4", host: "pve", vmId: 204, cores: 2, memory: 8, systemDisk: 40, roles: ["worker"] },
  cards: [{ network: "servers", address: "192.168.10.24", mac: "BC:24:11:00:10:24" }],
};
const secondHost = {
  ...{ name: "pve-b", address: "192.168.10.4", memory: 64, imageDatastore: "local", diskDatastore: "local-lvm" },
};
const open = { name: "open", network: "dmz", addresses: "192.168.40.60-192.168.40.70", allocation: "automatic" };
const storing = { ...fourth, dataDisk: 100, storageTags: ["slow"], labels: { rack: "two" } };
/** Whose key nobody has. */
const ca = `-----BEGIN CERTIFICATE-----
MIIBRDCB96ADAgECAhQVakh8jnHFA9j3rd1IIrg95whjozAFBgMrZXAwFzEVMBMG
A1UEAwwMQ0Egb2YgYSB0ZXN0MCAXDTI2MTEyNDEyMzE0MFoYDzIxMjYxMDMxMTIz
MTQwWjAXMRUwEwYDVQQDDAxDQSBvZiBhIHRlc3QwKjAFBgMrZXADIQBAD1+2eCN+
zBcns3cbXImXWK02K0HgtUDjjCS+4LFssKNTMFEwHQYDVR0OBBYEFPmojPTYF7/V
EjEMEkWsuWr2UBDBMB8GA1UdIwQYMBaAFPmojPTYF7/VEjEMEkWsuWr2UBDBMA8G
A1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EARgZUXu/E1wEpPpSOkATOnOSc8KLHL/Np
guVSRwcDKN3BeMit0aGory2ElldZCbxQgMS9pdFxyLIVDWtHSLH/DA==
-----END CERTIFICATE-----
`;

/**
 * Every kind of edit to every section: a value changed, something added, something taken out, several at once. Not among them: what takes a Service over that is
 * not in the base, which an engine reads from a live cluster.
 */
export const mutations: readonly Mutation[] = [
  all("nothing"),
  // cluster
  one("cluster: another Kubernetes version", ["cluster", "kubernetesVersion"], "v1.31.9"),
  one("cluster: another name, and with it another provider", ["cluster", "name"], "cabin"),
  one("cluster: Rancher at another address", ["cluster", "rancher", "url"], "https://rancher-2.home.example.org"),
  one("cluster: another Rancher version", ["cluster", "rancher", "version"], "v2.11.17"),
  all(
    "cluster: another id in Rancher",
    [["cluster", "rancher", "clusterId"], "c-def34"],
    [["cluster", "rancher", "storageProject"], "c-def34:p-xyz34"],
  ),
  one("cluster: another project", ["cluster", "rancher", "storageProject"], "c-abc12:p-other"),
  one("cluster: another pod network", ["cluster", "podNetwork"], "10.44.0.0/16"),
  one("cluster: another service network", ["cluster", "serviceNetwork"], "10.45.0.0/16"),
  // proxmox
  one("proxmox: another endpoint", ["proxmox", "endpoint"], "https://pve-2.home.example.org:8006/"),
  one("proxmox: another address of a host", ["proxmox", "hosts", 0, "address"], "192.168.10.3"),
  one("proxmox: more memory of a host", ["proxmox", "hosts", 0, "memory"], 128),
  one("proxmox: another datastore for images", ["proxmox", "hosts", 0, "imageDatastore"], "shared"),
  one("proxmox: another datastore for disks", ["proxmox", "hosts", 0, "diskDatastore"], "fast-lvm"),
  one("proxmox: a host more", ["proxmox", "hosts", 1], secondHost),
  // domain, networks, key
  one("domain: another one", ["domain"], "cabin.example.org"),
  one("networks: another bridge", ["networks", 0, "bridge"], "vmbr1"),
  one("networks: another tag", ["networks", 1, "vlan"], 41),
  one("networks: no tag", ["networks", 1, "vlan"]),
  one("networks: another gateway", ["networks", 0, "gateway"], "192.168.10.254"),
  one("networks: another name server", ["networks", 0, "dns"], ["192.168.10.1", "192.168.10.53"]),
  one("networks: another range of the DHCP server", ["networks", 0, "dhcp", 0], "192.168.10.100-192.168.10.150"),
  one(
    "sshPublicKey: another comment",
    ["sshPublicKey"],
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKmnxjiWCo2dBUeZ9syV7CVu0vdOHoblOY4ytkUBr7cv somebody",
  ),
  // nodes
  one("nodes: more cores", ["nodes", 0, "cores"], 6),
  one("nodes: more memory", ["nodes", 1, "memory"], 14),
  one("nodes: a larger system disk", ["nodes", 0, "systemDisk"], 60),
  one("nodes: a larger data disk", ["nodes", 2, "dataDisk"], 300),
  one("nodes: a tag for storage", ["nodes", 0, "storageTags"], ["fast"]),
  one("nodes: labels", ["nodes", 1, "labels"], { rack: "one" }),
  one("nodes: another address", ["nodes", 0, "cards", 0, "address"], "192.168.10.31"),
  one("nodes: another address of the second card", ["nodes", 0, "cards", 1, "address"], "192.168.40.31"),
  one("nodes: another MAC", ["nodes", 1, "cards", 0, "mac"], "BC:24:11:00:10:99"),
  one("nodes: no second card", ["nodes", 2, "cards", 1]),
  one("nodes: another machine id under protection", ["nodes", 2, "vmId"], 213),
  all("nodes: another machine id without protection", [["nodes", 2, "vmId"], 213], [["nodes", 2, "protect"], false]),
  one("nodes: protection taken off", ["nodes", 0, "protect"], false),
  one("nodes: may restart", ["nodes", 0, "restart"], true),
  one("nodes: another name", ["nodes", 2, "name"], "debian-9"),
  all("nodes: on another host", [["proxmox", "hosts", 1], secondHost], [["nodes", 2, "host"], "pve-b"]),
  all("nodes: one without storage any more", [["nodes", 2, "dataDisk"], undefined], [["longhorn", "replicas"], 2]),
  one("nodes: a worker more", ["nodes", 3], fourth),
  one("nodes: a worker with storage more", ["nodes", 3], storing),
  all(
    "nodes: everything about one",
    [["nodes", 0, "cores"], 8],
    [["nodes", 0, "memory"], 16],
    [["nodes", 0, "restart"], true],
  ),
  // oldNodes
  one("oldNodes: one retired", ["oldNodes", 0, "retired"], true),
  one("oldNodes: another memory", ["oldNodes", 1, "memory"], 16),
  one("oldNodes: one taken out", ["oldNodes", 2]),
  one("oldNodes: another address", ["oldNodes", 1, "address"], "192.168.10.19"),
  // retirement
  one("retirement: an older snapshot of etcd is enough", ["retirement"], { snapshotHours: 48 }),
  one("retirement: machines are kept off", ["retirement"], { machines: "keep" }),
  // longhorn
  one("longhorn: fewer replicas", ["longhorn", "replicas"], 2),
  one("longhorn: another reserve", ["longhorn", "reservedPercent"], 20),
  one("longhorn: another host", ["longhorn", "host"], "storage.home.example.org"),
  one("longhorn: another user", ["longhorn", "user"], "operator"),
  one("longhorn: another issuer", ["longhorn", "clusterIssuer"], "letsencrypt-staging"),
  one("longhorn: another backup target", ["longhorn", "backup", "target"], "nfs://192.168.10.6:/backup"),
  one("longhorn: another look at the backup store", ["longhorn", "backup", "pollInterval"], 600),
  one("longhorn: backups in S3", ["longhorn", "backup", "target"], "s3://home@eu/longhorn"),
  all("longhorn: no backups", [["longhorn", "backup"], undefined], [["longhorn", "recurringJobs", 1], undefined]),
  one("longhorn: another time of a job", ["longhorn", "recurringJobs", 1, "cron"], "0 4 * * *"),
  one("longhorn: a job keeps fewer", ["longhorn", "recurringJobs", 0, "retain"], 12),
  one("longhorn: a job under another name", ["longhorn", "recurringJobs", 0, "name"], "snapshot-every-hour"),
  one("longhorn: a job more", ["longhorn", "recurringJobs", 2], {
    name: "trim",
    task: "filesystem-trim",
    cron: "0 5 * * 0",
    retain: 0,
  }),
  one("longhorn: no job", ["longhorn", "recurringJobs"]),
  one("longhorn: the chart from another repository", ["longhorn", "chart"], {
    repository: "https://charts.example.org",
  }),
  one("longhorn: may leave", ["longhorn", "leaving"], true),
  // loadBalancer
  one("loadBalancer: a shorter pool", ["loadBalancer", "pools", 0, "addresses"], "192.168.40.3-192.168.40.5"),
  one("loadBalancer: a pool of which any Service gets an address", ["loadBalancer", "pools", 1], open),
  one("loadBalancer: a pool more", ["loadBalancer", "pools", 1], {
    name: "spare",
    network: "dmz",
    addresses: "192.168.40.50-192.168.40.60",
  }),
  one("loadBalancer: the chart from another repository", ["loadBalancer", "chart"], {
    repository: "https://charts.example.org",
  }),
  all(
    "loadBalancer: a pool under another name",
    [["loadBalancer", "pools", 0, "name"], "dmz"],
    [["ingress", "pool"], "dmz"],
  ),
  // ingress
  one("ingress: another address", ["ingress", "address"], "192.168.40.4"),
  one("ingress: another class", ["ingress", "className"], "public"),
  one("ingress: another health check port", ["ingress", "healthCheckNodePort"], 31432),
  one("ingress: other node ports", ["ingress", "nodePorts"], { http: 30080, https: 30443 }),
  one("ingress: Rancher's selector", ["ingress", "service", "selector"], "workload"),
  all(
    "ingress: client addresses lost",
    [["ingress", "externalTrafficPolicy"], "Cluster"],
    [["ingress", "healthCheckNodePort"], undefined],
  ),
  // oldStorage, volumes
  one("oldStorage: another class", ["oldStorage", "storageClass"], "nfs-client-2"),
  one("volumes: a larger new claim", ["volumes", 0, "size"], "30Gi"),
  one("volumes: another old size", ["volumes", 1, "oldSize"], "8Gi"),
  one("volumes: another new claim", ["volumes", 4, "newClaim"], "grafana"),
  one("volumes: another access mode", ["volumes", 4, "accessMode"], "ReadWriteMany"),
  one("volumes: another attempt", ["volumes", 2, "attempt"], 2),
  all(
    "volumes: cutover to the new claim",
    [["volumes", 0, "stage"], "cutover"],
    [["volumes", 0, "switch"], "new-claim"],
  ),
  all(
    "volumes: cutover under the old name",
    [["volumes", 4, "stage"], "cutover"],
    [["volumes", 4, "switch"], "same-name"],
  ),
  all("volumes: finalize", [["volumes", 0, "stage"], "finalize"], [["volumes", 0, "switch"], "new-claim"]),
  one("volumes: every file is read again", ["volumes", 1, "hash"], "all"),
  one("volumes: another namespace", ["volumes", 3, "namespace"], "automation"),
  one("volumes: one taken out", ["volumes", 4]),
  one("volumes: one more", ["volumes", 5], { namespace: "wiki", claim: "pages", oldSize: "1Gi", size: "2Gi" }),
  // several sections
  all(
    "several: a node's memory, a pool and a volume",
    [["nodes", 0, "memory"], 14],
    [["loadBalancer", "pools", 1], open],
    [["volumes", 0, "size"], "40Gi"],
  ),
  all(
    "several: CAs of Rancher and Proxmox",
    [["cluster", "rancher", "caCertificate"], ca],
    [["proxmox", "caCertificate"], ca],
  ),
  // secrets
  ...["proxmoxToken", "rancherToken", "kubeconfig", "sshPrivateKey"].map((key): Mutation => ({
    title: `secrets: another ${key}`,
    edits: [],
    secrets: [key],
  })),
];

/** As the diff reads changed secrets: stand-ins that are not the usual ones. */
export function secretTextsOf({ secrets = [] }: Mutation): SecretTexts {
  return { home: Object.fromEntries(secrets.map((key) => [key, `another-stand-in-${key}`])) };
}
