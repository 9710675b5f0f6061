import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { BasicAuth, htpasswd } from "../../../../components/services/basic-auth";
import { needs } from "../../../support/needs";
import { inClear, resources, run } from "../../../support/services";

const program =
  (user = "admin") =>
  (opts: object) => {
    const { password, secretName } = new BasicAuth("auth", { user, namespace: "longhorn-system" }, opts);
    return { password, secretName };
  };

/** The file's bytes, for the password and salt that the tests' providers answer. */
const line = "admin:$apr1$saltsalt$hFKskmgy0iTNFL.qVaLk.0\n";
const password = {
  name: "auth-password",
  type: "random:index/randomPassword:RandomPassword",
  parent: "auth",
  provider: "random",
  inputs: { length: 32, special: false },
  options: { additionalSecretOutputs: ["bcryptHash", "result"] },
};
const salt = {
  name: "auth-salt",
  type: "random:index/randomString:RandomString",
  parent: "auth",
  provider: "random",
  inputs: { length: 8, special: false },
};
const secret = (auth: unknown): object => ({
  name: "auth-secret",
  type: "kubernetes:core/v1:Secret",
  parent: "auth",
  provider: "cluster",
  inputs: {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "basic-auth", namespace: "longhorn-system" },
    type: "Opaque",
    data: auth,
  },
  after: ["auth-password", "auth-salt"],
  options: { additionalSecretOutputs: ["data", "stringData"] },
});

describe("BasicAuth (mock runtime: does not prove that a controller lets the password in)", () => {
  it("registers password, salt and a Secret with one htpasswd line under `auth`", async () => {
    const recording = await run(program());
    assert.equal(recording.error, undefined);
    const auth = Buffer.from(line).toString("base64");
    assert.deepEqual(resources(recording), [password, salt, secret({ secret: { auth } })]);
  });

  it("registers the same in a preview, the Secret's data unknown until the password exists", async () => {
    const recording = await run(program(), { preview: true });
    assert.equal(recording.error, undefined);
    const [first, second, third] = resources(recording);
    assert.deepEqual([first, second], [password, salt]);
    const { data } = third?.inputs as { data: unknown };
    assert.deepEqual(third, secret(data));
    assert.match(JSON.stringify(data), /04da6b54-80e4-46f7-96ec-b56ff0331ba9/);
  });

  it("writes the same bytes at every update, and other bytes for another user, password or salt", async () => {
    const bytes = async (user?: string, answers?: object): Promise<string> =>
      JSON.stringify(resources(await run(program(user), { answers: answers as never }))[2]?.inputs);
    const first = await bytes();
    assert.equal(await bytes(), first);
    assert.notEqual(await bytes("operator"), first);
    assert.notEqual(await bytes("admin", { [password.type]: { result: "battery-staple" } }), first);
    assert.notEqual(await bytes("admin", { [salt.type]: { result: "pepperpp" } }), first);
  });

  it("hands the password on as a secret, and shows neither it nor its hash", async () => {
    const recording = await run(program());
    assert.equal(recording.outputs.secretName, "basic-auth");
    const shown = inClear(recording);
    for (const text of ["correct-horse", "hFKskmgy0iTNFL", Buffer.from(line).toString("base64")]) {
      assert.equal(shown.includes(text), false);
    }
    assert.match(shown, /"password":"\[secret\]"/);
  });

  it("makes no Secret without a password or a salt", async () => {
    for (const fail of ["password", "salt"]) {
      const made = resources(await run(program(), { fail })).map(({ name }) => name);
      assert.deepEqual(made, ["auth-password", "auth-salt"]);
    }
  });
});

describe("htpasswd", () => {
  it("writes what other programs wrote: Longhorn's and Apache's documentation", () => {
    // longhorn.io "Create an Ingress with Basic Authentication", httpd.apache.org "Password Formats".
    assert.equal(htpasswd("foo", "bar", "FnyKCYKb"), "foo:$apr1$FnyKCYKb$6IP2C45fZxMcoLwkOwf7k0\n");
    assert.equal(htpasswd("myName", "myPassword", "r31....."), "myName:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n");
  });

  it("writes what openssl writes, for any password and salt", function () {
    needs(this, "openssl");
    const alphabet = [..."./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"];
    const saltText = fc.string({ unit: fc.constantFrom(...alphabet), minLength: 8, maxLength: 8 });
    const passwordText = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(passwordText, saltText, (plain, seasoning) => {
        const args = ["passwd", "-apr1", "-salt", seasoning, "-stdin"];
        const { stdout } = spawnSync("openssl", args, { input: `${plain}\n`, encoding: "utf8" });
        assert.equal(htpasswd("admin", plain, seasoning), `admin:${stdout}`);
      }),
      { numRuns: 50 },
    );
  });

  const refused: Record<string, readonly [string, string, string]> = {
    "a user with a colon": ["ad:min", "password", "saltsalt"],
    "a user with a space": ["ad min", "password", "saltsalt"],
    "no user": ["", "password", "saltsalt"],
    "a password beyond ASCII": ["admin", "pässword", "saltsalt"],
    "no password": ["admin", "", "saltsalt"],
    "a password of two lines": ["admin", "pass\nword", "saltsalt"],
    "a short salt": ["admin", "password", "salt"],
    "a long salt": ["admin", "password", "saltsaltsalt"],
    "a salt with a dollar": ["admin", "password", "salt$alt"],
  };
  for (const [title, [user, plain, seasoning]] of Object.entries(refused)) {
    it(`refuses ${title}, without saying the password`, () => {
      assert.throws(
        () => htpasswd(user, plain, seasoning),
        (error: Error) => plain === "" || plain === "password" || !error.message.includes(plain),
      );
    });
  }
});
