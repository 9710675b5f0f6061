import * as pulumi from "@pulumi/pulumi";

/** What stands for a value that is known only once something has happened. */
export const unknown = pulumi.runtime.unknownValue;
