import type { Properties } from "../../rehearsal/record";
import { isMap } from "../values";
import { at, each, maps, type Finding, type Rule, type Sketch, type Scene, type Subject } from "./rule";

const role = (rules: readonly object[]): Sketch => ({
  type: "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole",
  name: "role",
  inputs: { rules },
});
const binding = (roleName: string, subject: string): Sketch => ({
  type: "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
  name: "binding",
  inputs: { roleRef: { kind: "ClusterRole", name: roleName }, subjects: [{ kind: "Group", name: subject }] },
});
const ingress = (annotations: object, spec: object = {}): Sketch => ({
  type: "kubernetes:networking.k8s.io/v1:Ingress",
  name: "ui",
  inputs: { metadata: { name: "ui", annotations }, spec: { tls: [{ hosts: ["a"] }], rules: [{ host: "a" }], ...spec } },
});
const nginx = "nginx.ingress.kubernetes.io";
const auth = { [`${nginx}/auth-type`]: "basic", [`${nginx}/auth-secret`]: "basic-auth" };
const middleware = (spec: object): Sketch => ({
  type: "kubernetes:traefik.io/v1alpha1:Middleware",
  name: "longhorn-auth",
  inputs: { metadata: { name: "longhorn-auth" }, spec },
});
const provider = (inputs: object): Sketch => ({
  type: "pulumi:providers:proxmoxve",
  name: "proxmox",
  inputs: { endpoint: "https://a", ...inputs },
});
const namespace = (level: string): Sketch => ({
  type: "kubernetes:core/v1:Namespace",
  name: "n",
  inputs: { metadata: { name: "n", labels: { "pod-security.kubernetes.io/enforce": level } } },
});
const job = (name: string, container: object, pod: object = {}): Sketch => ({
  type: "kubernetes:batch/v1:Job",
  name,
  inputs: { metadata: { name }, spec: { template: { spec: { containers: [{ name: "c", ...container }], ...pod } } } },
});

/** What a role allows, each as one text. */
function grants(inputs: Properties | undefined): ReadonlySet<string> {
  const list = (value: unknown): readonly string[] => (Array.isArray(value) ? value.map(String) : [""]);
  return new Set(
    maps(at(inputs, "rules")).flatMap((rule) =>
      list(rule.apiGroups).flatMap((group) =>
        list(rule.resources ?? rule.nonResourceURLs).flatMap((resource) =>
          list(rule.verbs).map((verb) => `${verb} ${[resource, group].filter(Boolean).join(".")}`),
        ),
      ),
    ),
  );
}

function widened({ type, before, after }: Subject): string | undefined {
  if (!after) return undefined;
  if (type.endsWith("Binding")) {
    const who = (inputs: Properties | undefined): readonly string[] =>
      maps(at(inputs, "subjects")).map(
        (subject) => `${String(subject.kind)} ${[subject.namespace, subject.name].filter(Boolean).join("/")}`,
      );
    const [from, to] = [at(before, "roleRef.name"), at(after, "roleRef.name")];
    const more = who(after).filter((one) => from !== to || !who(before).includes(one));
    return more.length === 0 ? undefined : `${more.join(", ")} may do what the role ${String(to)} allows`;
  }
  const known = grants(before);
  const more = [...grants(after)].filter((one) => !known.has(one));
  return more.length === 0
    ? undefined
    : `allows ${more.slice(0, 5).join(", ")}${more.length > 5 ? ` and ${more.length - 5} more` : ""}`;
}

/** By which annotations and middlewares an Ingress asks who it is. */
function asks(inputs: Properties | undefined): boolean {
  const annotations = at(inputs, "metadata.annotations");
  const entries = isMap(annotations) ? Object.entries(annotations) : [];
  return entries.some(
    ([key, value]) =>
      /\/(auth-(type|url|secret|signin)|auth-tls-secret)$/.test(key) ||
      (/router\.middlewares$/.test(key) && String(value).includes("auth")),
  );
}

/** What lets a pod out of its container or be root in it, each as one text. */
function privileges(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(privileges);
  if (!isMap(value)) return [];
  const own = Object.entries(value).flatMap(([key, entry]): string[] => {
    if (
      [
        "privileged",
        "allowPrivilegeEscalation",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "automountServiceAccountToken",
      ].includes(key) &&
      entry === true
    )
      return [key];
    if (key === "runAsUser" && entry === 0) return ["runs as root"];
    if (key === "hostPath" && isMap(entry)) return [`the host's ${String(entry.path)}`];
    if (key === "add" && Array.isArray(entry)) return entry.map((capability) => `the capability ${String(capability)}`);
    if (key === "pod-security.kubernetes.io/enforce" && entry === "privileged") return ["pods of the level privileged"];
    return [];
  });
  return [...own, ...Object.values(value).flatMap(privileges)];
}

/** What was there on the base in any resource of the type is nothing new: the next volume's Job is as the ones before it. */
function raised({ subjects, before }: Scene): readonly Finding[] {
  return subjects.flatMap(({ name, type, before: old, after, operation }) => {
    if (!after || operation === "same" || !type.startsWith("kubernetes:")) return [];
    const peers = old ? [old] : before.filter((other) => other.type === type).map(({ inputs }) => inputs);
    const known = new Set(peers.flatMap(privileges));
    const more = [...new Set(privileges(after))].filter((one) => !known.has(one));
    return more.length === 0 ? [] : [{ resource: name, says: `gets ${more.join(", ")}` }];
  });
}

/** Who may do what, and who gets in. */
export const accessRules: readonly Rule[] = [
  {
    name: "rbac-widened",
    reason: "somebody may do more in the cluster than before",
    find: each(/:rbac\.authorization\.k8s\.io\/v1:/, widened),
    good: [
      {
        title: "less",
        before: [role([{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] }])],
        after: [role([{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }])],
      },
      { title: "a binding goes", before: [binding("view", "devs")], after: [] },
    ],
    bad: [
      {
        title: "more verbs",
        before: [role([{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }])],
        after: [role([{ apiGroups: [""], resources: ["pods"], verbs: ["*"] }])],
      },
      { title: "for everybody", before: [binding("view", "devs")], after: [binding("view", "system:authenticated")] },
      { title: "a new binding", before: [], after: [binding("cluster-admin", "devs")] },
      { title: "another role", before: [binding("view", "devs")], after: [binding("cluster-admin", "devs")] },
    ],
  },
  {
    name: "ingress-without-auth",
    reason: "whoever reaches the host is in: Longhorn's UI has no login of its own",
    find: each(/:Ingress$|:Middleware$/, ({ type, before, after }) => {
      if (type.endsWith("Middleware"))
        return at(before, "spec.basicAuth") !== undefined && at(after, "spec.basicAuth") === undefined
          ? "no longer asks for a password"
          : undefined;
      if (!after || asks(after)) return undefined;
      return before && !asks(before)
        ? undefined
        : `the Ingress ${String(at(after, "metadata.name"))} asks nobody who it is`;
    }),
    good: [
      { title: "with auth", before: [], after: [ingress(auth)] },
      { title: "public before", before: [ingress({})], after: [ingress({ a: "b" })] },
    ],
    bad: [
      { title: "auth taken off", before: [ingress(auth)], after: [ingress({})] },
      { title: "new and without", before: [], after: [ingress({})] },
      {
        title: "the middleware",
        before: [middleware({ basicAuth: { secret: "a" } })],
        after: [middleware({ headers: {} })],
      },
    ],
  },
  {
    name: "tls-off",
    reason: "passwords and tokens travel in clear, or to whoever answers",
    find: each(/:Ingress$|^pulumi:providers:/, ({ type, before, after }) => {
      if (type.startsWith("pulumi:"))
        return at(after, "insecure") === true && at(before, "insecure") !== true
          ? "certificates are no longer verified"
          : undefined;
      if (!after) return undefined;
      const redirect = `metadata.annotations["${nginx}/ssl-redirect"]`;
      if (at(after, redirect) === "false" && at(before, redirect) !== "false")
        return "plain HTTP is no longer redirected";
      const [had, has] = [before, after].map((inputs) => maps(at(inputs, "spec.tls")).length > 0);
      return !has && (had || !before) ? "has no TLS" : undefined;
    }),
    good: [{ title: "with TLS", before: [], after: [ingress({})] }],
    bad: [
      { title: "TLS taken off", before: [ingress({})], after: [ingress({}, { tls: [] })] },
      {
        title: "no redirect",
        before: [ingress({ [`${nginx}/ssl-redirect`]: "true" })],
        after: [ingress({ [`${nginx}/ssl-redirect`]: "false" })],
      },
      {
        title: "a provider that verifies nothing",
        before: [provider({ insecure: false })],
        after: [provider({ insecure: true })],
      },
    ],
  },
  {
    name: "privileges-raised",
    reason: "a pod gets rights with which it can leave its container, or act as somebody else",
    find: raised,
    good: [
      {
        title: "one more of what was there",
        before: [job("a", { securityContext: { capabilities: { add: ["CHOWN"] } } })],
        after: [
          job("a", { securityContext: { capabilities: { add: ["CHOWN"] } } }),
          job("b", { securityContext: { capabilities: { add: ["CHOWN"] } } }),
        ],
      },
      { title: "less", before: [namespace("privileged")], after: [namespace("restricted")] },
    ],
    bad: [
      {
        title: "a capability",
        before: [job("a", {})],
        after: [job("a", { securityContext: { capabilities: { add: ["SYS_ADMIN"] } } })],
      },
      {
        title: "the host's files",
        before: [],
        after: [job("a", {}, { volumes: [{ name: "h", hostPath: { path: "/etc" } }] })],
      },
      { title: "the namespace's level", before: [namespace("restricted")], after: [namespace("privileged")] },
    ],
  },
];
