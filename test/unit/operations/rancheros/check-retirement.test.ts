import assert from "node:assert/strict";
import { checkRetirement, guardRetirement } from "../../../../operations/rancheros/check-retirement";
import {
  add,
  counted,
  migratedHome,
  nodeIn,
  podOn,
  refusalOf,
  setPhase,
  vmOf,
  type MigratedHome,
} from "../../../support/migrated-home";

const inputOf = ({ inputs }: MigratedHome): { stack: string; nodes: MigratedHome["inputs"][number][] } => ({
  stack: "home-rancheros",
  nodes: [...inputs],
});
const lines = (why: string): string[] => why.split("\n").map((line) => line.trim());

describe("the gate before the retirements", () => {
  it("passes when nothing stands against any of them, and changes nothing", async () => {
    const migrated = await migratedHome();
    const before = structuredClone(migrated.home);
    const reading = counted(migrated.clients, (_, name) =>
      assert.match(name, /read|list|nodes|version|snapshots|vmIdFree/, name),
    );
    assert.deepEqual(await checkRetirement.run(inputOf(migrated), reading), {
      nodes: ["rancheros-1", "rancheros-2", "rancheros-3"],
    });
    assert.deepEqual(migrated.home, before);
  });

  it("reports everything over all old nodes at once, what concerns all of them only once", async () => {
    const migrated = await migratedHome();
    setPhase(migrated.home, "games", "valheim-server-data", "warm");
    setPhase(migrated.home, "media", "jellyfin-config", undefined);
    vmOf(migrated.home, "rancheros-1").protection = true;
    vmOf(migrated.home, "rancheros-2").name = "database";
    vmOf(migrated.home, "rancheros-3").host = "elsewhere";
    const before = structuredClone(migrated.home);
    const { what, why, next } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(migrated.home, before);
    assert.equal(what, "home-rancheros: no old node was retired, nothing was touched");
    assert.deepEqual(
      lines(why).map((line) => line.slice(0, 50)),
      [
        "5 things stand against it:",
        "- rancheros-1: machine 101 is protected in Proxmox",
        "- volume games/valheim-server-data is not switched",
        "- volume media/jellyfin-config is not switched: it",
        "- rancheros-2: machine 102 on pve is another one (",
        "- rancheros-3: machine 103 is not on host pve, its",
      ],
    );
    assert.equal(next, "mend what is named, then `pulumi destroy -s home-rancheros`");
  });

  it("sees that the last of them would leave too few etcd members, though each alone would not", async () => {
    const migrated = await migratedHome();
    delete nodeIn(migrated.home, "debian-3").metadata?.labels?.["node-role.kubernetes.io/etcd"];
    const { why } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.equal(lines(why).length, 2);
    assert.match(
      why,
      /- etcd: without rancheros-1, rancheros-2, rancheros-3 2 members are left, and fewer than 3 do not survive/,
    );
  });

  it("sees that their pods together find no room, though those of each alone would", async () => {
    const migrated = await migratedHome();
    for (const { node } of migrated.inputs)
      for (const [name, memory] of [
        ["large", "10Gi"],
        ["small", "5Gi"],
      ])
        add(
          migrated.home,
          podOn(node, `${name}-of-${node}`, (pod) => {
            pod.spec = {
              ...pod.spec,
              containers: [{ name: "main", resources: { requests: { memory: memory ?? "" } } }],
            };
          }),
        );
    const { why } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(
      lines(why).map((line) => line.split(",")[0]),
      [
        "3 things stand against it:",
        ...migrated.inputs.map(({ node }) => `- ${node}: pod apps/small-of-${node} requests 5120Mi memory`),
      ],
    );
  });

  it("nodes that have left already are not counted again", async () => {
    const migrated = await migratedHome();
    const { home } = migrated;
    home.proxmox.vms = home.proxmox.vms.filter((vm) => vm.vmId !== 101);
    home.rancher.nodes = home.rancher.nodes.filter((node) => node.nodeName !== "rancheros-1");
    home.kubernetes.objects = home.kubernetes.objects.filter((object) => object.metadata?.name !== "rancheros-1");
    await checkRetirement.run(inputOf(migrated), migrated.clients);
  });

  it("is refused while a system does not answer, and says that `up` records new credentials", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.listVms = () => Promise.reject(new Error("401 no ticket"));
    const { what, next } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.equal(what, "home-rancheros: nothing was touched, because Proxmox does not answer as it should");
    assert.match(next, /`pulumi up -s home-rancheros` records the new one/);
  });

  it("an error while looking at a node is part of the report, without more than its first line", async () => {
    const migrated = await migratedHome();
    migrated.clients.proxmox.readVm = () => Promise.reject(new Error("500 storage offline\nPVEAPIToken=secret"));
    const { why } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.deepEqual(lines(why), [
      "3 things stand against it:",
      ...["rancheros-1", "rancheros-2", "rancheros-3"].map(
        (node) => `- ${node}: its look ended early: it failed: Error: 500 storage offline: run the same command again`,
      ),
    ]);
  });

  it("a cluster that fails in the middle is a refusal too", async () => {
    const migrated = await migratedHome();
    migrated.clients.kubernetes.list = () => Promise.reject(new Error("reset"));
    const { what } = await refusalOf(checkRetirement.run(inputOf(migrated), migrated.clients));
    assert.equal(what, "home-rancheros: stopped while looking at the live systems, this run changed nothing");
  });

  it("creating and updating it records names and asks nobody", async () => {
    const migrated = await migratedHome();
    const silent = counted(migrated.clients, (_, name) => assert.fail(`${name} was called`));
    assert.deepEqual(await guardRetirement.run(inputOf(migrated), silent), {
      nodes: ["rancheros-1", "rancheros-2", "rancheros-3"],
    });
    assert.deepEqual(guardRetirement.needs, []);
  });
});
