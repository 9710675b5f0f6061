// A side's own process, on the side's own code and packages: the base and the head are never loaded together.
require("../../transpile.js");
require("./serve.ts").serve();
