import assert from "node:assert/strict";
import { inspect } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { readableError, readably } from "../../../operations/readable";

describe("readable errors (what the engine makes of them is tested in test/engine)", () => {
  it("are what the SDK prints without its stack trace", () => {
    assert.equal(pulumi.RunError.isInstance(readableError("look here")), true);
    assert.equal(pulumi.RunError.isInstance(readably(new TypeError("x"), "look here")), true);
  });

  it("have no stack, whose inspection would take the SDK longer than the whole preview", () => {
    const error = readableError("look here");
    assert.equal(error.stack, undefined);
    assert.doesNotMatch(inspect(error), /\n {4}at /);
  });

  it("keep their message when the SDK puts the names of waiting properties before it", () => {
    const error = readableError("look here");
    error.message = `error serializing property "stdin": ${error.message}`;
    assert.equal(error.message, "look here");
    assert.equal(String(error), "Error: look here");
  });

  it("stay the object that they were, since the SDK reports each object once", () => {
    const error = new TypeError("said with much around it");
    assert.equal(readably(error, "said"), error);
    assert.equal(error.message, "said");
  });
});
