import assert from "node:assert/strict";
import { z } from "zod";
import type { Clients } from "../../../operations/clients";
import { dispatch, type Connect } from "../../../operations/dispatch";
import { keep } from "../../../operations/keep";
import { defineOperation, type Operation } from "../../../operations/operation";
import { Refusal } from "../../../operations/refusal";
import { operations, type Operations } from "../../../operations/verbs";
import { buildHome } from "../../../rehearsal/home/build";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { environment } from "../../support/environment";

const token = "root@pam!operator=token-that-must-not-show";
const proxmox = { endpoint: "https://pve.example.org:8006/", token };

/** Counts its runs and returns what it was asked. */
function probe(needs: Operation["needs"] = []): { table: Operations; runs: { input: unknown }[] } {
  const runs: { input: unknown }[] = [];
  const operation = defineOperation({
    verb: "probe",
    needs,
    schema: z.strictObject({ name: z.string(), count: z.int().default(3) }),
    run: async (input) => {
      runs.push({ input });
      return { seen: input.name };
    },
  });
  return { table: table(keep, operation), runs };
}

function table(...of: readonly Operation[]): Operations {
  return Object.fromEntries(of.map((operation) => [operation.verb, async () => operation]));
}

function connecting(): { connect: Connect; asked: { access: unknown; needs: unknown }[]; clients: Clients } {
  const home = buildHome(environment("home"));
  const clients = pretendClients(home, new VirtualClock(home.now));
  const asked: { access: unknown; needs: unknown }[] = [];
  return {
    asked,
    clients,
    connect: (access, needs) => {
      asked.push({ access, needs });
      return clients;
    },
  };
}

function request(input: unknown, access: unknown = {}): string {
  return JSON.stringify({ version: 1, access, input });
}

async function refusal(run: Promise<unknown>): Promise<Refusal> {
  const error = await run.then(
    () => assert.fail("was not refused"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

describe("dispatch (with made-up operations: does not prove what the real ones do)", () => {
  it("gives the operation its input with the schema's defaults and returns its result as one line of JSON", async () => {
    const { table, runs } = probe();
    const text = await dispatch("probe", request({ name: "a\nb" }), connecting().connect, "{}", table);
    assert.equal(text, '{"seen":"a\\nb"}');
    assert.deepEqual(runs, [{ input: { name: "a\nb", count: 3 } }]);
  });

  it("returns an empty object for an operation that returns nothing", async () => {
    const silent = defineOperation({ verb: "silent", needs: [], schema: z.unknown(), run: async () => undefined });
    assert.equal(await dispatch("silent", request({}), connecting().connect, "{}", table(silent)), "{}");
  });

  it("connects once, to exactly the systems that the operation needs, with the access of the request", async () => {
    const { table } = probe(["proxmox"]);
    const { connect, asked } = connecting();
    await dispatch("probe", request({ name: "a" }, { proxmox }), connect, "{}", table);
    assert.deepEqual(asked, [{ access: { proxmox }, needs: ["proxmox"] }]);
  });

  it("hands the operation the clients that connect made", async () => {
    const { connect, clients } = connecting();
    let given: Clients | undefined;
    const look = defineOperation({
      verb: "look",
      needs: [],
      schema: z.unknown(),
      run: async (_input, using) => {
        given = using;
      },
    });
    await dispatch("look", request({}), connect, "{}", table(look));
    assert.equal(given, clients);
  });

  it("refuses a verb that it does not know, lists those it knows, and connects to nothing", async () => {
    const { table } = probe();
    const { connect, asked } = connecting();
    const { parts } = await refusal(dispatch("prob", request({}), connect, "{}", table));
    assert.deepEqual(parts, {
      what: "operations/run prob: no such operation",
      why: "this checkout knows keep, probe",
      next: "check out the version of this project that wrote the stack's state, or newer",
    });
    assert.deepEqual(asked, []);
  });

  it("refuses when access to a needed system is missing, names every one of them, and runs nothing", async () => {
    const { table, runs } = probe(["kubernetes", "proxmox", "ssh"]);
    const { connect, asked } = connecting();
    const { parts } = await refusal(dispatch("probe", request({ name: "a" }, { proxmox }), connect, "{}", table));
    assert.equal(parts.what, "operations/run probe: no access to kubernetes, ssh");
    assert.match(parts.next, /pulumi config set --secret/);
    assert.deepEqual([asked, runs], [[], []]);
  });

  it("refuses text that is no JSON without quoting it", async () => {
    const { message } = await refusal(
      dispatch("probe", `{"access": ${token}`, connecting().connect, "{}", probe().table),
    );
    assert.match(message, /standard input is not JSON/);
    assert.doesNotMatch(message, /must-not-show/);
  });

  const misfits: Record<string, { readonly request: unknown; readonly names: RegExp }> = {
    "another version": { request: { version: 2, access: {}, input: { name: "a" } }, names: /version/ },
    "no access": { request: { version: 1, input: { name: "a" } }, names: /access/ },
    "an unknown key beside the three": {
      request: { version: 1, access: {}, input: { name: "a" }, extra: token },
      names: /extra/,
    },
    "access to an unknown system": {
      request: { version: 1, access: { vault: { token } }, input: { name: "a" } },
      names: /vault/,
    },
    "an endpoint that is no URL": {
      request: { version: 1, access: { proxmox: { endpoint: token, token } }, input: { name: "a" } },
      names: /endpoint/,
    },
    "a token of the wrong kind": {
      request: { version: 1, access: { proxmox: { ...proxmox, token: [token] } }, input: { name: "a" } },
      names: /token/,
    },
    "an input of the wrong kind": { request: { version: 1, access: {}, input: { name: [token] } }, names: /name/ },
    "an input with an unknown key": {
      request: { version: 1, access: {}, input: { name: "a", secret: token } },
      names: /secret/,
    },
  };
  for (const [title, { request: body, names }] of Object.entries(misfits)) {
    it(`refuses ${title}: names the key, never the value, and runs nothing`, async () => {
      const { table, runs } = probe();
      const { connect, asked } = connecting();
      const { message, parts } = await refusal(dispatch("probe", JSON.stringify(body), connect, "{}", table));
      assert.equal(parts.what, "operations/run probe: the request does not fit");
      assert.match(parts.why, names);
      assert.doesNotMatch(message, /must-not-show/);
      assert.deepEqual([asked, runs], [[], []]);
    });
  }

  it("passes on what the operation throws, as it is", async () => {
    const broken = new Error("the disk is gone");
    const failing = defineOperation({
      verb: "failing",
      needs: [],
      schema: z.unknown(),
      run: async () => Promise.reject(broken),
    });
    await assert.rejects(
      dispatch("failing", request({}), connecting().connect, "{}", table(failing)),
      (error) => error === broken,
    );
  });
});

describe("keep, dispatched from the real table", () => {
  it("repeats what the last run printed, trimmed, and connects to nothing, whatever access it is given", async () => {
    const { connect, asked } = connecting();
    assert.equal(
      await dispatch("keep", request({ any: "input" }, { proxmox }), connect, '{"joined":true}\n'),
      '{"joined":true}',
    );
    assert.deepEqual(asked, []);
  });

  it("gives an empty object when nothing was printed before", async () => {
    assert.equal(await dispatch("keep", request({}), connecting().connect), "{}");
  });

  it("still refuses a request that does not fit: what it records is what a later delete gets", async () => {
    const { parts } = await refusal(dispatch("keep", JSON.stringify({ version: 1, input: {} }), connecting().connect));
    assert.equal(parts.what, "operations/run keep: the request does not fit");
  });
});

describe("the table of operations (verbs are contracts with states that exist)", () => {
  it("gives each operation under the verb that it is declared with", async () => {
    for (const [verb, load] of Object.entries(operations)) assert.equal((await load()).verb, verb);
  });

  it("has verbs that a shell takes as one plain word, since they stand in a command line", () => {
    assert.deepEqual(
      Object.keys(operations).filter((verb) => !/^[a-z][a-z0-9-]*$/.test(verb)),
      [],
    );
  });

  it("has keep, which needs no system", async () => {
    assert.deepEqual((await operations.keep?.())?.needs, []);
  });
});
