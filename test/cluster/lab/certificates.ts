import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A key and what proves whose it is, both PEM. */
export interface Pair {
  readonly key: string;
  readonly cert: string;
}

/** A private certificate authority in a folder; all of it ends with the folder. */
export class Authority {
  readonly ca: string;
  private made = 0;

  constructor(readonly folder: string) {
    this.openssl(
      "req",
      "-x509",
      ...newKey,
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-subj",
      "/CN=cluster",
      "-days",
      "2",
    );
    this.ca = this.read("ca.pem");
  }

  /** A server's, for these addresses (`IP:127.0.0.1`) and names (`DNS:kubernetes`). */
  server(...names: readonly string[]): Pair {
    return this.sign("/CN=server", `subjectAltName=${names.join(",")}\nextendedKeyUsage=serverAuth`);
  }

  /** A client's: the user and groups that Kubernetes takes from its subject. */
  client(user: string, groups: readonly string[] = []): Pair {
    return this.sign([...groups.map((group) => `/O=${group}`), `/CN=${user}`].join(""), "extendedKeyUsage=clientAuth");
  }

  /** A key pair alone, such as service account tokens are signed with. */
  keyPair(): { readonly key: string; readonly publicKey: string } {
    const name = `keys-${(this.made += 1)}`;
    // RSA, since that is what distributions use here.
    this.openssl("genrsa", "-out", `${name}.key`, "2048");
    this.openssl("rsa", "-in", `${name}.key`, "-pubout", "-out", `${name}.pub`);
    return { key: this.read(`${name}.key`), publicKey: this.read(`${name}.pub`) };
  }

  private sign(subject: string, extensions: string): Pair {
    const name = `pair-${(this.made += 1)}`;
    writeFileSync(join(this.folder, `${name}.ext`), extensions);
    this.openssl("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", subject);
    this.openssl(
      ...["x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", String(this.made)],
      ...["-out", `${name}.pem`, "-days", "2", "-extfile", `${name}.ext`],
    );
    return { key: this.read(`${name}.key`), cert: this.read(`${name}.pem`) };
  }

  private openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
  }

  private read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
