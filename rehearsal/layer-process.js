// A layer's own process: the SDK's runtime is global to a process, so that one layer's state never colours the next.
const path = require("node:path");
require("ts-node").register({ project: path.join(__dirname, "..", "tsconfig.pulumi.json") });
require("./layer.ts").serve();
