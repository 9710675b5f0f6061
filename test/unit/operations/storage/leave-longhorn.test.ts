import assert from "node:assert/strict";
import { longhornSettings, longhornVolumes, type LonghornVolume } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { guardLonghorn, leaveLonghorn } from "../../../../operations/storage/leave-longhorn";
import { storageHome } from "../../../support/longhorn";

function volume(name: string, claim?: string): LonghornVolume {
  return {
    ...longhornVolumes,
    metadata: { name, namespace: "longhorn-system" },
    status: { ...(claim !== undefined && { kubernetesStatus: { namespace: "games", pvcName: claim } }) },
  };
}

/** A home with these volumes, and Longhorn's confirmation flag as it stands there. */
async function homeWith(volumes: readonly LonghornVolume[], flag?: string): Promise<ReturnType<typeof storageHome>> {
  const clients = storageHome();
  for (const one of volumes) await clients.kubernetes.create(one);
  if (flag !== undefined) {
    await clients.kubernetes.create({
      ...longhornSettings,
      metadata: { name: "deleting-confirmation-flag", namespace: "longhorn-system" },
      value: flag,
    });
  }
  return clients;
}

async function refusal(answer: Promise<unknown>): Promise<Refusal["parts"]> {
  try {
    await answer;
  } catch (error) {
    assert.ok(error instanceof Refusal);
    return error.parts;
  }
  assert.fail("it was let pass");
}

describe("leave-longhorn (pretend API server: does not prove that Longhorn's uninstaller succeeds)", () => {
  it("refuses without the switch, even when nothing is left", async () => {
    const { what, next } = await refusal(leaveLonghorn.run({ leaving: false }, await homeWith([], "true")));
    assert.match(what, /only by its switch/);
    assert.match(next, /`leaving: true` .* `pulumi up`, then destroy/);
  });

  it("refuses while a volume is left, and names it with its claim", async () => {
    const volumes = [volume("pvc-1", "valheim-server-data"), volume("pvc-2")];
    const { what, why } = await refusal(leaveLonghorn.run({ leaving: true }, await homeWith(volumes, "true")));
    assert.equal(what, "Longhorn still holds 2 volumes: pvc-1 (games/valheim-server-data), pvc-2");
    assert.match(why, /deletes them and their data/);
  });

  it("counts one volume as one, and names ten of many", async () => {
    const one = await refusal(leaveLonghorn.run({ leaving: true }, await homeWith([volume("pvc-1")])));
    assert.equal(one.what, "Longhorn still holds 1 volume: pvc-1");
    const many = Array.from({ length: 12 }, (_, index) => volume(`pvc-${index}`));
    const { what } = await refusal(leaveLonghorn.run({ leaving: true }, await homeWith(many)));
    assert.match(what, /^Longhorn still holds 12 volumes: pvc-0, .*pvc-9 and 2 more$/);
  });

  it("refuses while Longhorn's own flag would stop its uninstaller half-way", async () => {
    const { what, next } = await refusal(leaveLonghorn.run({ leaving: true }, await homeWith([], "false")));
    assert.equal(what, "Longhorn's setting deleting-confirmation-flag is false");
    assert.match(next, /pulumi up --refresh/);
  });

  it("lets pass with the switch, no volume and the flag", async () => {
    assert.deepEqual(await leaveLonghorn.run({ leaving: true }, await homeWith([], "true")), { volumes: 0 });
  });

  it("lets pass where Longhorn is gone already, so that a half-done destroy can be finished", async () => {
    assert.deepEqual(await leaveLonghorn.run({ leaving: true }, await homeWith([])), { volumes: 0 });
  });

  it("changes nothing", async () => {
    const clients = await homeWith([], "true");
    const before = JSON.stringify(clients.kubernetes);
    await leaveLonghorn.run({ leaving: true }, clients);
    assert.equal(JSON.stringify(clients.kubernetes), before);
  });
});

describe("guard-longhorn", () => {
  it("records the switch, and says what it means when it is set", async () => {
    const clients = storageHome();
    assert.deepEqual(await guardLonghorn.run({ leaving: false }, clients), { leaving: false });
    assert.deepEqual(clients.lines, []);
    assert.deepEqual(await guardLonghorn.run({ leaving: true }, clients), { leaving: true });
    assert.match(clients.lines.join(), /will uninstall Longhorn once it holds no volume/);
  });
});
