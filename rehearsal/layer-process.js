// A layer's own process: the SDK's runtime is global to a process, so that one layer's state never colours the next.
require("../transpile.js");
require("./layer.ts").serve();
