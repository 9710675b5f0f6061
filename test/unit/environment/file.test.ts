import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkConfig, fromConfigText, rawEnvironment, type ConfigValue } from "../../../environment/config";
import { checkFile, parseConfigFile, readConfigFile } from "../../../environment/file";
import { formatProblem } from "../../../environment/problem";
import { rawEnvironment as committed, root } from "../../support/environment";

// What Pulumi's own reader makes of a file was read in its source (sdk/go/common/resource/config/value.go), not tried here.
describe("environment/file and environment/config", () => {
  const home = readFileSync(join(root, "Pulumi.home.yaml"), "utf8");
  const lines = (text: string): readonly string[] => {
    const { config, problems } = parseConfigFile("Pulumi.test.yaml", text);
    return [...problems, ...(config ? checkConfig(config).problems : [])].map(formatProblem);
  };
  /** What the committed file reports unedited. */
  const usual = lines(home);
  const config = (text: string): Readonly<Record<string, ConfigValue>> =>
    Object.fromEntries(parseConfigFile("Pulumi.test.yaml", text).config ?? []);

  it("reads a committed file to the same environment as its plain data", () => {
    const { config: read } = readConfigFile(join(root, "Pulumi.home.yaml"));
    assert.deepEqual(rawEnvironment(read ?? new Map()), committed("home"));
  });

  it("needs no secret: encrypted ones are skipped", () => {
    assert.deepEqual(lines(`${home}\n  home-cluster:rancherToken:\n    secure: v1:abc:def\n`), usual);
  });

  it("lets keys of other namespaces through, and what else stands in such files", () => {
    const more = "encryptionsalt: v1:abc:v1:def\n";
    assert.deepEqual(
      lines(`${more}${home}\n  aws:region: eu-central-1\n  aws:tags: { no: 0123, when: 2026-01-01 }\n`),
      usual,
    );
  });

  describe("values, as Pulumi hands them on", () => {
    it("keeps the text of scalars, whatever YAML makes of them", () => {
      assert.deepEqual(
        config(
          'config:\n  a:number: 1.30\n  a:octal: 0201\n  a:true: True\n  a:quoted: "1"\n  a:empty:\n  a:null: ~\n',
        ),
        {
          "a:number": { text: "1.30", encrypted: false },
          "a:octal": { text: "0201", encrypted: false },
          "a:true": { text: "True", encrypted: false },
          "a:quoted": { text: "1", encrypted: false },
          "a:empty": { text: "", encrypted: false },
          "a:null": { text: "", encrypted: false },
        },
      );
    });

    it("makes JSON of structures, anchors and merges resolved", () => {
      assert.deepEqual(config("config:\n  a:x: &x { b: 1 }\n  a:y: *x\n  a:z: [{ <<: *x, c: 2 }]\n"), {
        "a:x": { text: '{"b":1}', encrypted: false },
        "a:y": { text: '{"b":1}', encrypted: false },
        "a:z": { text: '[{"b":1,"c":2}]', encrypted: false },
      });
    });

    it("takes a value as encrypted when anything in it is", () => {
      const read = config(
        "config:\n  a:x: { secure: v1:x }\n  a:y: [{ b: { secure: v1:x } }]\n  a:z: { secure: v1:x, c: 1 }\n  a:n: { secure: 1 }\n",
      );
      assert.deepEqual(
        Object.entries(read).map(([key, { encrypted }]) => [key, encrypted]),
        [
          ["a:x", true],
          ["a:y", true],
          ["a:z", false],
          ["a:n", false],
        ],
      );
    });

    it("reads JSON as structures and nothing else as such", () => {
      assert.deepEqual(fromConfigText('{"a":1}'), { a: 1 });
      assert.deepEqual(fromConfigText("[1]"), [1]);
      assert.equal(fromConfigText("1.30"), "1.30");
      assert.equal(fromConfigText("true"), "true");
      assert.equal(fromConfigText('"quoted"'), '"quoted"');
      assert.equal(fromConfigText("[broken"), "[broken");
      assert.equal(fromConfigText(""), null);
    });
  });

  describe("refuses, with the place", () => {
    const cases: readonly (readonly [string, string, readonly string[]])[] = [
      [
        "broken YAML, by line and column, without quoting the line",
        'config:\n  home-cluster:rancherToken: "hunter2\n',
        [
          'Pulumi.test.yaml: line 3, column 1: is no YAML: missing closing "quote: correct the line or the one before it',
        ],
      ],
      [
        "a value that looks like two, without quoting it",
        "config:\n  home-cluster:domain: a: hunter2\n",
        [
          "Pulumi.test.yaml: line 2, column 24: is no YAML: nested mappings are not allowed in compact mappings: correct the line or the one before it",
        ],
      ],
      [
        "what follows a list, without quoting it",
        "- a\nhunter2: 1\n",
        [
          "Pulumi.test.yaml: line 2, column 1: is no YAML: unexpected scalar at node end: correct the line or the one before it",
          "Pulumi.test.yaml: line 2, column 8: is no YAML: unexpected map-value-ind token in YAML stream: correct the line or the one before it",
          "Pulumi.test.yaml: line 2, column 10: is no YAML: unexpected scalar token in YAML stream: correct the line or the one before it",
        ],
      ],
      [
        "an alias without an anchor",
        "config:\n  home-cluster:nodes: *nodes\n",
        ["Pulumi.test.yaml: (config): an alias (*name) names no anchor (&name): write the value itself"],
      ],
      [
        "config that is a list",
        "config: [a]\n",
        ["Pulumi.test.yaml: (config): must be a mapping of keys to values: write config as in Pulumi.home.yaml"],
      ],
      [
        "a key without a namespace",
        "config:\n  domain: home.example.org\n",
        [
          "Pulumi.test.yaml: (config): its key domain has no namespace, so Pulumi refuses the file: write home-cluster:domain",
        ],
      ],
    ];
    for (const [title, text, expected] of cases) {
      it(title, () => {
        assert.deepEqual(lines(text), expected);
      });
    }

    for (const [title, text] of [
      ["an empty file", ""],
      ["a file of comments", "# nothing\n"],
      ["a file without config", "encryptionsalt: v1:abc\n"],
      ["an empty config", "config:\n"],
      ["a config of others", "config:\n  aws:region: eu-central-1\n"],
      ["our keys outside of config", "home-cluster:domain: home.example.org\n"],
      ["a file that is a list", "- config\n"],
    ] as const) {
      it(`${title}: no key of this project`, () => {
        assert.deepEqual(lines(text), [
          "home-cluster: (missing): no key of the configuration starts with home-cluster:: write the environment under config, as in Pulumi.home.yaml: `home-cluster:cluster: …`",
        ]);
      });
    }

    it("a key given twice, and still judges the rest", () => {
      const text = home.replace("vmId: 201", "vmId: 101\n      vmId: 102");
      const [first = "", ...rest] = lines(text);
      const line = home.slice(0, home.indexOf("vmId: 201")).split("\n").length + 1;
      assert.equal(
        first,
        `Pulumi.test.yaml: line ${line}, column 7: the same key stands here a second time: remove one of the two; only one would count`,
      );
      assert.deepEqual(
        rest.filter((other) => !usual.includes(other)),
        [
          "nodes[0].vmId: 102: is the vmId of old node rancheros-2 already (oldNodes[1].vmId): choose an id that no machine in this file has or had",
        ],
      );
    });

    it("numbers and dates that Pulumi's reader takes for something else", () => {
      const text = home.replace("vmId: 201", "vmId: 0201").replace("name: debian-1", "name: 2026-01-01");
      const place = (what: string): string => {
        const before = text.slice(0, text.indexOf(what)).split("\n");
        return `line ${before.length}, column ${(before.at(-1) ?? "").length + what.indexOf(":") + 3}`;
      };
      assert.deepEqual(
        lines(text)
          .filter((line) => !usual.includes(line))
          .sort(),
        [
          `Pulumi.test.yaml: ${place("name: 2026-01-01")}: Pulumi reads this as a date: write it in quotes if it is text`,
          `Pulumi.test.yaml: ${place("vmId: 0201")}: Pulumi reads a number with a leading zero as octal: write it in quotes if it is text`,
        ],
      );
    });
  });

  describe("secrets", () => {
    it("refuses one in plain text, and never prints it", () => {
      const found = lines(
        `${home}\n  home-cluster:rancherToken: hunter2\n  home-cluster:kubeconfig: { token: hunter2 }\n`,
      );
      assert.deepEqual(
        found.filter((line) => !usual.includes(line)),
        [
          "rancherToken: (text, not shown): is a secret in plain text, readable by everybody who sees the file: take it out, make a new one, and set that with `pulumi config set --secret rancherToken`",
          "kubeconfig: (text, not shown): is a secret in plain text, readable by everybody who sees the file: take it out, make a new one, and set that with `pulumi config set --secret kubeconfig`",
        ],
      );
    });

    it("refuses to encrypt what is none: it could not be checked", () => {
      const text = home.replace(/home-cluster:domain: .*/, "home-cluster:domain:\n    secure: v1:abc:def");
      assert.deepEqual(
        lines(text).filter((line) => !usual.includes(line)),
        [
          "domain: (encrypted): is encrypted, so nobody can check or review it, and it is no secret: write it as plain text; the secrets are proxmoxToken, rancherToken, kubeconfig, sshPrivateKey, backupAccessKey, backupSecretKey",
        ],
      );
    });

    it("refuses a misspelt one without printing it", () => {
      const found = lines(`${home}\n  home-cluster:rancherTokn: hunter2\n`);
      assert.equal(found.length, usual.length + 1);
      assert.match(found[0] ?? "", /^rancherTokn: \(text, not shown\): .*did you mean rancherToken\?/);
      assert.doesNotMatch(found.join("\n"), /hunter2/);
    });
  });

  describe("checkFile", () => {
    let folder = "";
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "home-cluster-file-"));
    });
    afterEach(() => {
      rmSync(folder, { recursive: true });
    });

    it("gives the environment of a valid file, warnings beside it", () => {
      const { environment, problems } = checkFile(join(root, "Pulumi.home.yaml"));
      assert.equal(environment?.cluster.name, "home");
      assert.deepEqual(problems.map(formatProblem), usual);
    });

    it("gives none of a file that anything refuses: its form, a rule, or its YAML", () => {
      const broken = [
        home.replace("distribution: rke1", "distribution: rke9"),
        home.replace("vmId: 201", "vmId: 101"),
        home.replace("vmId: 201", "vmId: 201\n      vmId: 201"),
        "config: [",
      ];
      for (const [index, text] of broken.entries()) {
        const path = join(folder, `${index}.yaml`);
        writeFileSync(path, text);
        const { environment, problems } = checkFile(path);
        assert.equal(environment, undefined, text);
        assert.ok(problems.some(({ severity }) => severity === "error"));
      }
    });

    it("says that a file is missing or is a folder", () => {
      const remedy = "give the name of an environment, or the path of a file like Pulumi.home.yaml";
      assert.deepEqual(checkFile(join(folder, "none.yaml")).problems.map(formatProblem), [
        `none.yaml: (missing): there is no such file: ${remedy}`,
      ]);
      assert.deepEqual(checkFile("/dev").problems.map(formatProblem), [`dev: (missing): is a folder: ${remedy}`]);
      assert.deepEqual(checkFile(join(root, "package.json", "x")).problems.map(formatProblem), [
        `x: (missing): cannot be read (ENOTDIR): ${remedy}`,
      ]);
    });
  });
});
