import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs } from "../../support/needs";
import { Program, until } from "../../cluster/lab/processes";

describe("a program of the cluster tier's lab", () => {
  let folder: string;
  before(function () {
    needs(this, "setpriv");
  });
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "program-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const started = (...command: string[]): Program => Program.start("part", join(folder, "part.log"), command);
  const never = (): Promise<void> => Promise.reject(new Error("connection refused"));

  it("that ends before it is ready is named, with how it ended and what it said last", async () => {
    const one = started("sh", "-c", "for i in $(seq 30); do echo line $i; done; echo no such flag >&2; exit 3");
    await assert.rejects(one.ready(never), ({ message }: Error) => {
      const [first, second, ...lines] = message.split("\n");
      assert.equal(first, "part is ready: part ended with exit code 3; last seen: connection refused");
      assert.equal(second, `last lines of ${join(folder, "part.log")}:`);
      assert.deepEqual([lines[0], lines.at(-1), lines.length], ["line 12", "no such flag", 20]);
      return true;
    });
  });

  it("that cannot be started is named, too", async () => {
    await assert.rejects(started("/no/such/program").ready(never), /part ended with exit code 127/);
  });

  it("that does not become ready in time is named with what was seen last", async () => {
    const one = started("sleep", "600");
    await assert.rejects(one.ready(never, 0), /^Error: part is ready: not within 0 s; last seen: connection refused/);
    assert.equal(one.end(), undefined);
    await one.stop();
    assert.deepEqual([one.running, one.end()], [false, "part ended with SIGKILL"]);
  });

  it("that was ready has been asked until it was", async () => {
    const one = started("sleep", "600");
    let asked = 0;
    await one.ready(async () => {
      if ((asked += 1) < 3) throw new Error("not yet");
    });
    assert.equal(asked, 3);
    await one.stop();
  });
});

describe("until", () => {
  it("returns what the look returned", async () => assert.equal(await until("it", () => 7), 7));
});
