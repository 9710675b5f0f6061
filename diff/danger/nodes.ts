import { at, each, goes, plain, verbIn, type Rule, type Sketch, type Scene, type Subject } from "./rule";

const command = "command:local:Command";
const machine = "proxmoxve:index/vmLegacy:VmLegacy";

function member(name: string, uuid = "1", roles: readonly string[] = ["controlplane", "etcd", "worker"]): Sketch {
  return {
    type: command,
    name: `${name}-member`,
    inputs: {
      create: "operations/run join",
      triggers: [uuid],
      stdin: JSON.stringify({ input: { node: name, roles } }),
    },
  };
}

function vm(inputs: object): Sketch {
  return { type: machine, name: "vm", inputs: { name: "debian-1", vmId: 201, started: true, ...inputs } };
}

function oldNode(name: string): Sketch {
  return {
    type: command,
    name: `${name}-machine`,
    inputs: {
      delete: "operations/run retire-old-node",
      create: "operations/run record-old-node",
      stdin: JSON.stringify({ input: { node: name } }),
    },
  };
}

function restart(allowed: boolean, memory: number): Sketch {
  return {
    type: command,
    name: "debian-1-step",
    inputs: {
      create: "operations/run restart-node",
      stdin: JSON.stringify({ input: { node: "debian-1", allowed, wanted: { memory } } }),
    },
  };
}

/** A node that is a member and leaves. */
function leaves(subject: Subject): boolean {
  return verbIn(subject.before) === "join" && goes(subject);
}

function nodeOf({ before, after }: Subject): string {
  return String(at(before ?? after, "stdin.input.node"));
}

/** Members of etcd among the declared nodes. */
function etcdMembers(resources: Scene["before"]): readonly string[] {
  return resources.flatMap((resource) => {
    const inputs = plain(resource);
    const roles = at(inputs, "stdin.input.roles");
    return verbIn(inputs) === "join" && Array.isArray(roles) && roles.includes("etcd")
      ? [String(at(inputs, "stdin.input.node"))]
      : [];
  });
}

function quorum({ subjects, before }: Scene): ReturnType<Rule["find"]> {
  const members = etcdMembers(before);
  const gone = members.filter((node) => subjects.some((subject) => leaves(subject) && nodeOf(subject) === node));
  const bearable = Math.max(0, Math.floor((members.length - 1) / 2));
  if (gone.length <= bearable) return [];
  return [
    {
      resource: "",
      says: `${gone.join(", ")}: ${gone.length} of ${members.length} declared members of etcd leave in one change, ${bearable} can be missed at a time`,
    },
  ];
}

/** Nodes, their machines, and what of the cluster depends on how many there are. */
export const nodeRules: readonly Rule[] = [
  {
    name: "node-removed",
    reason: "the node is drained, its replicas are moved away, and it leaves the cluster",
    find: each(/^command:local:Command$/, (subject) =>
      leaves(subject)
        ? `${nodeOf(subject)} leaves the cluster${subject.operation === "replace" ? " and joins again" : ""}`
        : undefined,
    ),
    good: [{ title: "a node joins", before: [], after: [member("debian-1")] }],
    bad: [
      { title: "a node is taken out", before: [member("debian-1")], after: [] },
      { title: "its machine is another one", before: [member("debian-1", "1")], after: [member("debian-1", "2")] },
    ],
  },
  {
    name: "quorum",
    reason: "without a majority of its members etcd stops, and with it every change in the cluster",
    find: quorum,
    good: [
      {
        title: "one of three",
        before: [member("a"), member("b"), member("c")],
        after: [member("b"), member("c")],
      },
      {
        title: "a node without etcd",
        before: [member("a"), member("w", "1", ["worker"])],
        after: [member("a")],
      },
    ],
    bad: [
      { title: "two of three", before: [member("a"), member("b"), member("c")], after: [member("c")] },
      { title: "the only one", before: [member("a")], after: [member("a", "2")] },
    ],
  },
  {
    name: "old-node-retired",
    reason: "the node is drained, removed from Rancher, and its machine is deleted with its disks",
    find: each(/^command:local:Command$/, (subject) =>
      verbIn({ create: subject.before?.delete }) === "retire-old-node" && goes(subject)
        ? `${nodeOf(subject)} is retired`
        : undefined,
    ),
    good: [{ title: "it stays", before: [oldNode("old-1")], after: [oldNode("old-1")] }],
    bad: [{ title: "it is retired", before: [oldNode("old-1")], after: [] }],
  },
  {
    name: "vm-deleted",
    reason: "the machine is deleted with its disks, Longhorn's among them",
    find: each(/:VmLegacy$/, (subject) =>
      goes(subject)
        ? `the machine ${String(at(subject.before, "name"))} (${String(at(subject.before, "vmId"))}) is ${subject.operation === "replace" ? "deleted and made anew" : "deleted"}`
        : undefined,
    ),
    good: [{ title: "more cores", before: [vm({ cores: 2 })], after: [vm({ cores: 4 })] }],
    bad: [
      { title: "another id", before: [vm({})], after: [vm({ vmId: 202 })] },
      { title: "gone", before: [vm({})], after: [] },
    ],
  },
  {
    name: "vm-powered-off",
    reason: "whatever runs on the machine stops, without a drain",
    find: each(/:VmLegacy$/, ({ before, after, optionsAfter }) => {
      if (at(after, "rebootAfterUpdate") === true && at(before, "rebootAfterUpdate") !== true)
        return "the provider restarts the machine whenever it changes it";
      const ignored = optionsAfter?.ignoreChanges.includes("started") === true;
      return at(before, "started") === true && after && at(after, "started") !== true && !ignored
        ? "the machine is switched off"
        : undefined;
    }),
    good: [{ title: "on stays on", before: [vm({})], after: [vm({ cores: 4 })] }],
    bad: [
      { title: "off", before: [vm({})], after: [vm({ started: false })] },
      {
        title: "restarts by itself",
        before: [vm({ rebootAfterUpdate: false })],
        after: [vm({ rebootAfterUpdate: true })],
      },
    ],
  },
  {
    name: "node-restarted",
    reason: "the node is drained and restarted: what runs on it moves or stops",
    find: each(/^command:local:Command$/, (subject) =>
      verbIn(subject.after) === "restart-node" &&
      at(subject.after, "stdin.input.allowed") === true &&
      subject.before !== undefined &&
      subject.operation !== "same"
        ? `${nodeOf(subject)} may be restarted by this update`
        : undefined,
    ),
    good: [{ title: "not allowed", before: [restart(false, 8)], after: [restart(false, 12)] }],
    bad: [{ title: "allowed", before: [restart(false, 8)], after: [restart(true, 12)] }],
  },
  {
    name: "disk-shrunk",
    reason: "a disk cannot be made smaller: the provider refuses, or the disk is another, empty one",
    find: each(/:VmLegacy$/, ({ before, after }) => {
      const sizes = (inputs: Subject["before"]): Map<unknown, number> =>
        new Map(
          (Array.isArray(at(inputs, "disks")) ? (at(inputs, "disks") as Record<string, unknown>[]) : []).map((disk) => [
            disk.interface,
            Number(disk.size),
          ]),
        );
      if (!before || !after) return undefined;
      const now = sizes(after);
      const smaller = [...sizes(before)].find(([name, size]) => (now.get(name) ?? 0) < size);
      return smaller ? `the disk ${String(smaller[0])} is made smaller, or goes` : undefined;
    }),
    good: [
      {
        title: "larger",
        before: [vm({ disks: [{ interface: "scsi0", size: 40 }] })],
        after: [vm({ disks: [{ interface: "scsi0", size: 50 }] })],
      },
    ],
    bad: [
      {
        title: "smaller",
        before: [vm({ disks: [{ interface: "scsi0", size: 40 }] })],
        after: [vm({ disks: [{ interface: "scsi0", size: 30 }] })],
      },
      {
        title: "gone",
        before: [
          vm({
            disks: [
              { interface: "scsi0", size: 40 },
              { interface: "scsi1", size: 200 },
            ],
          }),
        ],
        after: [vm({ disks: [{ interface: "scsi0", size: 40 }] })],
      },
    ],
  },
];
