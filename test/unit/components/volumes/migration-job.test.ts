import assert from "node:assert/strict";
import fc from "fast-check";
import {
  jobDeadline,
  jobName,
  jobTimeouts,
  migrationJob,
  type MigrationJobArgs,
} from "../../../../components/volumes/migration-job";
import { migrationJobName, volumeName } from "../../../../environment/volume-name";
import { refusedByPodSecurity } from "../../../../operations/volumes/migration-pod";
import { imageReference, versions } from "../../../../versions";
import { environment } from "../../../support/environment";

const args = {
  kind: "migration",
  name: "valheim-server-data",
  namespace: "games",
  claim: "valheim-server-data",
  attempt: 1,
  oldSize: "10Gi",
  newClaim: "valheim-server-data-longhorn",
  sourceUid: "source-uid",
  targetUid: "target-uid",
  scripts: "volume-migration-scripts-0123456789",
} as const satisfies MigrationJobArgs;

type Phase = "warm" | "final";

function expected(kind: "migration" | "verification", phase: Phase): unknown {
  const copies = kind === "migration";
  const name = `volume-${phase === "final" ? "final-" : ""}${kind}-valheim-server-data`;
  const metadata = {
    labels: {
      "app.kubernetes.io/managed-by": "home-cluster",
      "app.kubernetes.io/part-of": "volume-migration",
      "app.kubernetes.io/component": kind,
    },
    annotations: { "home-cluster/volume": "games/valheim-server-data", "home-cluster/attempt": "1" },
  };
  const copyEnvironment = [
    { name: "SOURCE", value: "/old" },
    { name: "TARGET", value: "/new" },
    { name: "SOURCE_UID", value: "source-uid" },
    { name: "TARGET_UID", value: "target-uid" },
    { name: "VOLUME", value: "games/valheim-server-data" },
    { name: "JOB", value: name },
    { name: "PHASE", value: phase },
    ...(phase === "final"
      ? [
          { name: "FENCE", value: "f2" },
          { name: "SUPERSEDES", value: "f1" },
          { name: "HASH", value: "changed" },
        ]
      : []),
    { name: "WORKERS", value: "16" },
  ];
  const verifyEnvironment = [
    { name: "SOURCE", value: "/old" },
    { name: "TARGET", value: "/new" },
    { name: "SOURCE_UID", value: "source-uid" },
    { name: "VOLUME", value: "games/valheim-server-data" },
    { name: "PHASE", value: phase },
    ...(phase === "final"
      ? [
          { name: "FENCE", value: "f2" },
          { name: "HASH", value: "changed" },
        ]
      : [{ name: "STATE", value: "/state" }]),
    { name: "RESULT", value: "/dev/termination-log" },
    { name: "WORKERS", value: "16" },
  ];
  return {
    metadata: { name, namespace: "games", ...metadata },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 3,
      activeDeadlineSeconds: 6600,
      template: {
        metadata,
        spec: {
          restartPolicy: "Never",
          nodeSelector: { "home-cluster/node": "debian" },
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: "RuntimeDefault" } },
          containers: [
            {
              name: kind,
              image: imageReference(copies ? versions.images.copy : versions.images.verify),
              command: copies ? ["sh", "/scripts/copy.sh"] : ["python3", "/scripts/verify.py"],
              env: copies ? copyEnvironment : verifyEnvironment,
              resources: { requests: { cpu: "500m", memory: "256Mi" }, limits: { cpu: "2", memory: "1Gi" } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: {
                  drop: ["ALL"],
                  add: copies ? ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"] : ["DAC_OVERRIDE"],
                },
              },
              terminationMessagePolicy: "FallbackToLogsOnError",
              volumeMounts: [
                { name: "old", mountPath: "/old", readOnly: true },
                { name: "new", mountPath: "/new", ...(!copies && { readOnly: true }) },
                ...(!copies && phase === "warm"
                  ? [{ name: "new", mountPath: "/state", subPath: ".home-cluster-migration" }]
                  : []),
                { name: "scripts", mountPath: "/scripts", readOnly: true },
                { name: "tmp", mountPath: "/tmp" },
              ],
            },
          ],
          volumes: [
            { name: "old", persistentVolumeClaim: { claimName: "valheim-server-data", readOnly: true } },
            {
              name: "new",
              persistentVolumeClaim: {
                claimName: "valheim-server-data-longhorn",
                ...(!copies && phase === "final" && { readOnly: true }),
              },
            },
            { name: "scripts", configMap: { name: "volume-migration-scripts-0123456789" } },
            { name: "tmp", emptyDir: {} },
          ],
        },
      },
    },
  };
}

describe("components/volumes/migration-job (does not prove that a kubelet mounts both claims, nor that the images have what the scripts need)", () => {
  for (const kind of ["migration", "verification"] as const) {
    it(`the ${kind} Job is exactly this`, () => {
      assert.deepEqual(migrationJob({ ...args, kind }), expected(kind, "warm"));
      assert.deepEqual(migrationJob({ ...args, kind, phase: "warm" }), expected(kind, "warm"));
    });
    it(`the ${kind} Job behind a fence is exactly this`, () => {
      const final = { phase: "final", fence: "f2", supersedes: "f1" } as const;
      assert.deepEqual(migrationJob({ ...args, kind, ...final }), expected(kind, "final"));
    });
  }

  it("one setting makes the final verification read everything, and no other Job changes with it", () => {
    const environment = (made: MigrationJobArgs): string =>
      /"env":(\[[^\]]*\])/.exec(JSON.stringify(migrationJob(made)))?.[1] ?? "";
    const final = { ...args, kind: "verification", phase: "final", fence: "f2" } as const;
    assert.equal(
      environment({ ...final, hash: "all" }),
      environment(final).replace('"HASH","value":"changed"', '"HASH","value":"all"'),
    );
    assert.notEqual(environment({ ...final, hash: "all" }), environment(final));
    for (const other of [{ kind: "verification" }, { kind: "migration" }] as const) {
      assert.deepEqual(migrationJob({ ...args, ...other, hash: "all" }), migrationJob({ ...args, ...other }));
    }
  });

  it("a copy behind a fence that takes no earlier one's place says so", () => {
    assert.match(JSON.stringify(migrationJob({ ...args, phase: "final", fence: "f1" })), /"SUPERSEDES","value":""/);
  });

  it("what takes the marker away mounts the new claim alone", () => {
    const text = JSON.stringify(migrationJob({ ...args, phase: "finalize" }));
    assert.match(text, /"PHASE","value":"finalize"/);
    assert.match(text, /"name":"volume-finalize-migration-valheim-server-data"/);
    assert.doesNotMatch(text, /"name":"old"|FENCE/);
    assert.deepEqual(text.match(/"claimName":"[^"]*"/g), ['"claimName":"valheim-server-data-longhorn"']);
  });

  it("a higher attempt is a Job of another name that knows its own", () => {
    const job = JSON.parse(JSON.stringify(migrationJob({ ...args, attempt: 3 }))) as {
      metadata: { name: string; annotations: Record<string, string> };
      spec: { template: { spec: { containers: { env: { name: string; value: string }[] }[] } } };
    };
    assert.equal(job.metadata.name, "volume-migration-valheim-server-data-attempt-3");
    assert.equal(job.metadata.annotations["home-cluster/attempt"], "3");
    assert.deepEqual(
      job.spec.template.spec.containers[0]?.env.find(({ name }) => name === "JOB")?.value,
      "volume-migration-valheim-server-data-attempt-3",
    );
  });

  it("passes the Pod Security level baseline with what its containers add, and not restricted", () => {
    for (const kind of ["migration", "verification"] as const) {
      const text = JSON.stringify(migrationJob({ ...args, kind }));
      const added = (JSON.parse(/"add":(\[[^\]]*\])/.exec(text)?.[1] ?? "[]") as string[]) ?? [];
      assert.ok(added.length > 0);
      assert.equal(refusedByPodSecurity("baseline", added), undefined);
      assert.match(text, /"runAsUser":0/);
    }
  });

  describe("names", () => {
    it("are what the environment's rules have checked", () => {
      for (const { volumes } of [environment("home"), environment("lab")]) {
        for (const volume of volumes) {
          assert.equal(jobName("migration", volumeName(volume, volumes), 1), migrationJobName(volume, volumes));
        }
      }
    });
    it("are cut where a label could not take them, and told apart", () => {
      const long = "a".repeat(46);
      assert.equal(jobName("migration", long, 1), `volume-migration-${long}`);
      assert.equal(jobName("verification", long, 12).length, 63);
      assert.match(jobName("verification", long, 12), /^volume-verification-a+-[0-9a-f]{8}-attempt-12$/);
      assert.notEqual(jobName("migration", `${long}1`, 1), jobName("migration", `${long}2`, 1));
    });
    it("are names that Kubernetes takes, one for each volume, kind and attempt", () => {
      const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
      const job = fc.tuple(
        fc.constantFrom("migration", "verification"),
        label,
        fc.integer({ min: 1, max: 99 }),
        fc.constantFrom("warm", "final", "finalize"),
      );
      fc.assert(
        fc.property(job, job, (one, other) => {
          const name = jobName(...one);
          assert.match(name, /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
          if (JSON.stringify(one) !== JSON.stringify(other)) assert.notEqual(name, jobName(...other));
        }),
      );
    });
  });

  describe("times", () => {
    for (const [size, seconds] of [
      ["512Mi", 3900],
      ["1Gi", 3900],
      ["10Gi", 6600],
      ["1Ti", 310_800],
    ] as const) {
      it(`${size}: given up after ${seconds} s, waited for 10 minutes longer, in an update as well`, () => {
        assert.equal(jobDeadline(size), seconds);
        assert.deepEqual(jobTimeouts(size), { create: `${seconds + 600}s`, update: `${seconds + 600}s` });
      });
    }
  });
});
