import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import apacheMd5 from "apache-md5";

export interface BasicAuthArgs {
  readonly user: string;
  readonly namespace: pulumi.Input<string>;
}

/** A generated password and the Secret by which an ingress controller asks for it. */
export class BasicAuth extends pulumi.ComponentResource {
  /** Secret. */
  readonly password: pulumi.Output<string>;
  /** Known once the Secret exists. */
  readonly secretName: pulumi.Output<string>;

  constructor(name: string, args: BasicAuthArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:BasicAuth", name, args, opts);
    // Letters and digits: 190 bits of them need no special ones, which shells and URLs would make people escape.
    const password = new random.RandomPassword(`${name}-password`, { length: 32, special: false }, { parent: this });
    // In the state, like the password: a salt drawn while the program runs would be another Secret at every update.
    const salt = new random.RandomString(`${name}-salt`, { length: saltLength, special: false }, { parent: this });
    const secret = new kubernetes.core.v1.Secret(
      `${name}-secret`,
      {
        // Longhorn's documentation and the Ingress both call it so.
        metadata: { name: "basic-auth", namespace: args.namespace },
        type: "Opaque",
        // One key and no other: nginx looks for `auth`, Traefik takes a Secret's only key whatever its name.
        data: {
          auth: pulumi
            .all([password.result, salt.result])
            .apply(([plain, seasoning]) =>
              Buffer.from(htpasswd(args.user, plain, seasoning), "utf8").toString("base64"),
            ),
        },
      },
      { parent: this },
    );
    this.password = pulumi.secret(password.result);
    this.secretName = secret.metadata.name;
    this.registerOutputs({ password: this.password, secretName: this.secretName });
  }
}

/** apr1's salt is at most 8 characters. */
const saltLength = 8;

/**
 * One line of an htpasswd file, with the newline that htpasswd writes, so that a second line added by hand is one. apr1 is what nginx implements
 * itself (bcrypt is left to a C library that some of its images lack) and what Traefik takes too. Throws for what the format or the hash cannot
 * carry.
 */
export function htpasswd(user: string, password: string, salt: string): string {
  if (/[:\s]/.test(user) || user === "") throw new Error("a user name of basic auth holds no colon and no space");
  // The library hashes bytes 0-127 as they are and garbles the rest, and would take a longer salt whole.
  if (!/^[\x20-\x7e]+$/.test(password)) throw new Error("the password holds characters beyond ASCII");
  if (!/^[./0-9A-Za-z]{8}$/.test(salt)) throw new Error("the salt is not 8 characters of apr1's alphabet");
  return `${user}:${apacheMd5(password, `$apr1$${salt}`)}\n`;
}
