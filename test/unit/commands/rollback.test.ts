import assert from "node:assert/strict";
import { main, type RollbackParts } from "../../../commands/rollback";
import { checkout, type Surroundings } from "../../../commands/validate";
import type { Access } from "../../../operations/access";
import { Refusal } from "../../../operations/refusal";
import { writeLedger, type Ledger } from "../../../operations/volumes/ledger";
import { asked, cutOver, ledgerOf, newVolume, oldVolume, picture, warmHome } from "../../support/cutover";
import { ref, type MigrationHome } from "../../support/volumes";

function surroundings(): Surroundings & { readonly lines: string[]; readonly errors: string[] } {
  const lines: string[] = [];
  const errors: string[] = [];
  const [out, error] = [(line: string) => void lines.push(line), (line: string) => void errors.push(line)];
  return { ...checkout(), lines, errors, out, error };
}

describe("npm run rollback (does not prove the live cluster: test/cluster/cutover.test.ts)", () => {
  let at: MigrationHome;
  let given: Access[];
  let questions: string[];
  beforeEach(async () => {
    at = await warmHome();
    given = [];
    questions = [];
  });
  const parts = (answer = "yes"): RollbackParts => ({
    ask: async (question) => {
      questions.push(question);
      return `${answer}\n`;
    },
    secrets: (_, wanted) => Object.fromEntries(wanted.map((key) => [key, `the ${key}`])),
    connect: (access) => {
      given.push(access);
      return at.clients;
    },
  });
  const volume = "games/valheim-server-data";

  it("says what it does, asks, and takes the workload back with nothing but the kubeconfig", async () => {
    const before = await picture(at);
    await cutOver(at.clients, asked("same-name"));
    const where = surroundings();
    assert.equal(await main(["home", volume], where, parts()), 0);
    assert.deepEqual(where.lines, [
      `${volume}: this will`,
      "  - stop StatefulSet games/valheim-server-data",
      "  - give claim valheim-server-data its old volume pvc-games-valheim-server-data back, and the new volume the claim valheim-server-data-longhorn",
      "  - start StatefulSet games/valheim-server-data on the old volume, with the replicas of before",
      "  - leave what was written since the switch on the new volume (claim valheim-server-data-longhorn); it does not come along",
      "  - delete no data, and leave both volumes on Retain",
      `${volume}: back on its old volume. \`pulumi up\` of the volumes layer refuses until the file agrees: write stage: copy to stay here, or a higher attempt to cut over again`,
    ]);
    assert.deepEqual(questions, ['Go on? Only "yes" does: ']);
    assert.deepEqual(given, Array(2).fill({ kubernetes: { kubeconfig: "the kubeconfig" } }));
    assert.deepEqual(await picture(at), {
      ...before,
      policies: { [oldVolume]: "Retain Bound", [newVolume]: "Retain Bound" },
    });
  });

  it("does nothing without a yes", async () => {
    await cutOver(at.clients, asked("new-claim"), "quiesce");
    const before = JSON.stringify(at.home.kubernetes.objects);
    for (const answer of ["", "y", "no", "Yes!"]) {
      const where = surroundings();
      assert.equal(await main(["home", volume], where, parts(answer)), 1);
      assert.deepEqual(where.errors, ["nothing was done"]);
    }
    assert.equal(JSON.stringify(at.home.kubernetes.objects), before);
  });

  it("with --yes it does not ask; run again it has nothing to do", async () => {
    await cutOver(at.clients, asked("new-claim"), "quiesce");
    assert.equal(await main(["home", volume, "--yes"], surroundings(), parts("no")), 0);
    assert.equal((await ledgerOf(at)).rollback?.state, "done");
    const where = surroundings();
    assert.equal(await main(["home", volume], where, parts("no")), 0);
    assert.deepEqual(where.lines, [`${volume}: nothing to roll back: its workload is on the old volume`]);
    assert.deepEqual(questions, []);
  });

  it("finds a volume by its name in the file, and needs no file for one written in full", async () => {
    await cutOver(at.clients, asked("new-claim"), "quiesce");
    assert.equal(await main(["home", "valheim-server-data", "--yes"], surroundings(), parts()), 0);
    const away = { ...surroundings(), folder: "/nowhere" };
    assert.equal(await main(["home", volume], away, parts()), 0);
    const where = surroundings();
    assert.equal(await main(["home", "no-such"], where, parts()), 2);
    assert.match(where.errors[0] ?? "", /^home has no volume no-such; write it as <namespace>\/<claim>/);
  });

  it("refuses a volume that is finalized", async () => {
    await cutOver(at.clients, asked("new-claim"));
    await writeLedger(at.clients, ref, (current) => ({ ...(current as Ledger), phase: "finalized" }));
    await assert.rejects(
      main(["home", volume, "--yes"], surroundings(), parts()),
      (error) => error instanceof Refusal && /not rolled back, it is finalized/.test(error.message),
    );
  });

  it("wrong usage is a usage error", async () => {
    for (const args of [[], ["home"], ["home", volume, "more"], ["home", volume, "--force"]]) {
      const where = surroundings();
      assert.equal(await main(args, where, parts()), 2);
      assert.match(where.errors[0] ?? "", /^usage: npm run rollback/);
    }
  });
});
