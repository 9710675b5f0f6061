import { valid } from "semver";
import { z } from "zod";
import { isRange } from "./address";

/**
 * The form of an environment file: what stands under `home-cluster:` in Pulumi.<environment>.yaml. Strict everywhere: an unknown key is a typo that would
 * otherwise do nothing in silence. Only forms are checked here; how values fit together is in `rules/`. The examples are what a refusal shows the operator.
 */

/** A name that Kubernetes and DNS take as one label. */
const label = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be lower-case letters, digits and hyphens, as Kubernetes names are")
  .max(63, "must have at most 63 characters");
/** Several labels with dots between, as storage classes may be named. */
const subdomain = z
  .string()
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    "must be lower-case letters, digits, hyphens and dots, as Kubernetes names are",
  )
  .max(253, "must have at most 253 characters");
const dnsName = z
  .string()
  .regex(
    /^(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])$/,
    "must be a DNS name such as longhorn.example.org",
  )
  .meta({ example: "longhorn.example.org" });
const mac = z
  .string()
  .regex(
    /^([0-9A-F]{2}:){5}[0-9A-F]{2}$/,
    "must be a MAC address in upper case (lower case would show as a change in every preview)",
  )
  .meta({ example: '"BC:24:11:00:10:21"' });
const ipv4 = z.ipv4("must be an IPv4 address").meta({ example: "192.168.10.21" });
const cidr = z.cidrv4("must be an IPv4 network such as 192.168.10.0/24").meta({ example: "192.168.10.0/24" });
const range = z
  .string()
  .refine(isRange, "must be a range such as 192.168.10.100-192.168.10.199")
  .meta({ example: "192.168.10.100-192.168.10.199" });
const gibibytes = z.int().positive();
const quantity = z
  .string()
  .regex(/^[1-9]\d{0,8}(Mi|Gi|Ti)$/, "must be a size such as 20Gi")
  .meta({ example: "20Gi" });
const semver = z
  .string()
  .refine((text) => valid(text) !== null, "must be a version such as v1.30.14")
  .meta({ example: "v1.30.14" });
const httpsUrl = z
  .url({ protocol: /^https$/, error: "must be an https URL" })
  .meta({ example: "https://rancher.example.org" });
const role = z.enum(["controlplane", "etcd", "worker"]);
const port = z.int().min(1).max(65535);

/** The cluster that exists and stays. */
const cluster = z.strictObject({
  /** Its name in Rancher; also the identity of the Kubernetes provider, so that a new kubeconfig never replaces resources. */
  name: label,
  distribution: z.enum(["rke1", "rke2", "k3s"]),
  /** What the nodes run now; Longhorn's and the distribution's support are checked against it. */
  kubernetesVersion: semver,
  /** Networks that pods and services use, so that no other network overlaps them. */
  podNetwork: cidr,
  serviceNetwork: cidr,
  rancher: z.strictObject({
    url: httpsUrl,
    version: semver,
    /** `c-xxxxx` (rke1, imported) or `c-m-xxxxxxxx` (rke2, k3s), or `local`. */
    clusterId: z
      .string()
      .regex(/^(local|c-[a-z0-9-]+)$/, "must be a Rancher cluster id such as c-abc12")
      .meta({ example: "c-abc12" }),
    /** Project for storage, `<cluster>:<project>`: goes into the namespace's projectId annotation as it is. */
    storageProject: z
      .string()
      .regex(/^(local|c-[a-z0-9-]+):p-[a-z0-9-]+$/, "must be a Rancher project such as c-abc12:p-xyz34")
      .meta({ example: "c-abc12:p-xyz34" }),
    /** PEM of a private CA in front of Rancher. Default: the public ones. */
    caCertificate: z.string().optional(),
  }),
});

const proxmox = z.strictObject({
  endpoint: httpsUrl,
  /** PEM of the CA that signed the API's certificate. Default: the public ones. */
  caCertificate: z.string().optional(),
  hosts: z
    .array(
      z.strictObject({
        name: label,
        address: ipv4,
        /** Memory in GiB that machines may use together. */
        memory: gibibytes,
        /** Datastore with content type `import`, for the Debian image. */
        imageDatastore: z.string().min(1),
        /** Datastore for disks. */
        diskDatastore: z.string().min(1),
      }),
    )
    .min(1),
});

const network = z.strictObject({
  name: label,
  cidr,
  /** Bridge on the Proxmox hosts. */
  bridge: z
    .string()
    .regex(/^[a-z][a-z0-9]{0,14}$/, "must be a bridge name such as vmbr0")
    .meta({ example: "vmbr0" }),
  /** VLAN tag 1-4094; absent = untagged. */
  vlan: z
    .int()
    .min(1, "must be a VLAN tag between 1 and 4094")
    .max(4094, "must be a VLAN tag between 1 and 4094")
    .optional(),
  gateway: ipv4.optional(),
  dns: z.array(ipv4).default([]),
  /** Ranges a DHCP server hands out: nothing here may lie in them. */
  dhcp: z.array(range).default([]),
});

/** What Longhorn takes as a tag (util.ValidateTags: a qualified name). One that it refuses takes the others with it. */
const storageTag = z
  .string()
  .regex(
    /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
    "must be a name such as fast: letters, digits, hyphens, underscores and dots, at most 63",
  )
  .meta({ example: "fast" });

const card = z.strictObject({ network: label, address: ipv4, mac });

/** A Debian node to be. */
const node = z.strictObject({
  name: label,
  host: label,
  /** Fixed Proxmox id; 100 is the first that Proxmox allows. */
  vmId: z.int().min(100).max(999_999_999),
  cores: z.int().min(1).max(512),
  /** GiB. */
  memory: gibibytes,
  /** GiB. */
  systemDisk: gibibytes,
  /** GiB, for Longhorn; present exactly on storage nodes. */
  dataDisk: gibibytes.optional(),
  /**
   * Longhorn's tags of a storage node, by which a class or a volume picks nodes (`nodeSelector`). Longhorn takes them from here while its own node has none; later
   * ones are set in its UI.
   */
  storageTags: z.array(storageTag).default([]),
  roles: z.array(role).min(1),
  labels: z.record(z.string(), z.string()).default({}),
  /** One per network served; the first carries the default gateway and the node's Kubernetes address. */
  cards: z.array(card).min(1),
  /** Guarded by the engine. Set to false, and `up`, before a node is taken out of the file. */
  protect: z.boolean().default(true),
  /**
   * What waits for a restart (memory, cores, cloud-init) is applied by `up`: the node is drained, restarted and awaited, one at a time. While false `up` only
   * names it.
   */
  restart: z.boolean().default(false),
});

/** A node of the retired operating system, as recorded: never changed, only retired. */
const oldNode = z.strictObject({
  name: label,
  host: label,
  vmId: z.int().min(100).max(999_999_999),
  mac,
  address: ipv4,
  /** GiB. */
  memory: gibibytes,
  roles: z.array(role).min(1),
  /** true once `pulumi destroy` took it: the entry stays as a record, and its id, name and addresses stay taken. */
  retired: z.boolean().default(false),
});

const chart = z.strictObject({
  /** A Helm repository other than the upstream one (air-gapped). */
  repository: z.url().optional(),
  /** A chart folder or archive, relative to the checkout. */
  path: z.string().optional(),
});

const longhorn = z.strictObject({
  replicas: z.int().min(1).max(20),
  /**
   * Share of each data disk, in percent, that Longhorn leaves free. Longhorn's default. It takes it when it makes a disk; of a disk that is there it is changed in
   * Longhorn's UI, and `up` says where the two differ.
   */
  reservedPercent: z.int().min(0).max(90).default(30),
  /** Host name of the UI. */
  host: dnsName,
  /** User of the UI's basic auth. */
  user: z
    .string()
    .regex(/^[^:\s]+$/, "must not hold a colon or spaces")
    // Behind the colon would stand the password.
    .meta({ sensitive: true })
    .default("admin"),
  clusterIssuer: label.default("letsencrypt"),
  backup: z
    .strictObject({
      /** `nfs://host:/path` or `s3://bucket@region/path`. */
      target: z.string(),
      /** Seconds between looks at the backup store. Longhorn's default. */
      pollInterval: z.int().min(0).default(300),
    })
    .optional(),
  recurringJobs: z
    .array(
      z.strictObject({
        name: label.max(40, "must have at most 40 characters (Longhorn)"),
        task: z.enum(["snapshot", "backup", "filesystem-trim", "snapshot-cleanup"]),
        cron: z.string(),
        retain: z.int().min(0).max(250),
        concurrency: z.int().min(1).default(1),
      }),
    )
    .default([]),
  chart: chart.default({}),
  /** The switch by which Longhorn may be uninstalled; `up` with it, then destroy. Refused while volumes exist. */
  leaving: z.boolean().default(false),
});

const loadBalancer = z.strictObject({
  pools: z
    .array(
      z.strictObject({
        name: label,
        network: label,
        addresses: range,
        /**
         * `ingress-only`: no other Service gets or may ask for an address of this pool. `automatic`: any LoadBalancer Service gets one.
         */
        allocation: z.enum(["ingress-only", "automatic"]).default("ingress-only"),
      }),
    )
    .min(1),
  chart: chart.default({}),
});

const ingress = z.strictObject({
  controller: z.enum(["nginx", "traefik"]),
  className: label,
  pool: label,
  address: ipv4,
  externalTrafficPolicy: z.enum(["Local", "Cluster"]).default("Local"),
  healthCheckNodePort: port.optional(),
  nodePorts: z.strictObject({ http: port, https: port }),
  /** rke1 only: the Service in front of the controller; rke2 and k3s have one of their chart's own. */
  service: z
    .strictObject({
      name: label,
      namespace: label.default("ingress-nginx"),
      /** true: the Service exists and is taken over, cluster IP and all. */
      existing: z.boolean(),
      /** `app`: `app: ingress-nginx`. `workload`: Rancher's `workloadID_<name>: "true"`, with what makes Rancher label the pods. */
      selector: z.enum(["app", "workload"]).default("app"),
    })
    .optional(),
});

/** How nodes leave: the old ones, and the Debian ones that are taken out of the file. */
const retirement = z.strictObject({
  /**
   * Hours. An etcd member leaves only while there is a complete snapshot of etcd that is younger, where it outlives the leave. The default bears Rancher's own
   * schedules: every 12 hours on rke1, every 5 on rke2 and k3s.
   */
  snapshotHours: z.int().min(1).max(720).default(24),
  /**
   * What becomes of an old node's machine once the node has left. `delete`: it goes with its disks. `keep`: it is shut down, does not start with its host any
   * more, and stays with its disks until `npm run retire -- <environment> --purge`.
   */
  machines: z.enum(["delete", "keep"]).default("delete"),
});

/** The storage that volumes leave. */
const oldStorage = z.strictObject({ storageClass: subdomain });

const volume = z.strictObject({
  namespace: label,
  claim: label,
  /** Size of the old volume, as claimed. */
  oldSize: quantity,
  /** Size of the new claim. */
  size: quantity,
  /** Name of the new claim. Default `<claim>-longhorn`. */
  newClaim: label.optional(),
  accessMode: z.enum(["ReadWriteOnce", "ReadWriteMany"]).default("ReadWriteOnce"),
  /**
   * How far this volume may go. `copy`: copied and compared while its workload runs. `cutover`: the workload is stopped, the last changes copied and every file
   * compared, and it comes back on the new volume. `finalize`: there is no way back any more, and the old volume is let go of; nothing deletes it.
   */
  stage: z.enum(["copy", "cutover", "finalize"]).default("copy"),
  /**
   * How the workload comes to the new volume; to be chosen from stage cutover on, without a default: either is wrong for some workload. `new-claim`: its pod
   * template is changed to name the new claim. `same-name`: the new volume takes the old claim's name, the old one is kept as `<claim>-old`.
   */
  switch: z.enum(["new-claim", "same-name"]).optional(),
  /**
   * Which files the comparison of a cutover reads again while the workload is stopped: `changed`, those that changed since they were hashed while it ran, or `all`.
   */
  hash: z.enum(["changed", "all"]).default("changed"),
  /** Raised by one to run a failed copy again, under a new Job name. */
  attempt: z.int().min(1).default(1),
});

export const environmentSchema = z.strictObject({
  cluster,
  proxmox,
  /** Domain of the nodes' host names. */
  domain: dnsName.meta({ example: "home.example.org" }),
  networks: z.array(network).min(1),
  /** Public key of the operator, for the user `debian` of the new nodes; the private one is the secret `sshPrivateKey`. */
  sshPublicKey: z
    .string()
    .regex(/^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$/, "must be an OpenSSH public key")
    .meta({ example: "ssh-ed25519 AAAA… operator@example.org" }),
  nodes: z.array(node).min(1),
  oldNodes: z.array(oldNode).default([]),
  longhorn,
  loadBalancer,
  ingress,
  retirement: retirement.prefault({}),
  oldStorage,
  volumes: z.array(volume).default([]),
});

/** A whole environment, defaults filled in. */
export type Environment = z.output<typeof environmentSchema>;
export type EnvironmentFile = z.input<typeof environmentSchema>;
export type NodeSpec = Environment["nodes"][number];
export type CardSpec = NodeSpec["cards"][number];
export type OldNodeSpec = Environment["oldNodes"][number];
export type NetworkSpec = Environment["networks"][number];
export type VolumeSpec = Environment["volumes"][number];
export type PoolSpec = Environment["loadBalancer"]["pools"][number];
export type Distribution = Environment["cluster"]["distribution"];

/** Keys that hold secrets; flat, read with `requireSecret`, never part of the environment. */
export const secretKeys = [
  "proxmoxToken",
  "rancherToken",
  "kubeconfig",
  "sshPrivateKey",
  "backupAccessKey",
  "backupSecretKey",
] as const;
export type SecretKey = (typeof secretKeys)[number];
