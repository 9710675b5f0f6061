// What sshd runs in place of each command (ForceCommand): hands the command and its standard input to the test, and ends as the test says.
// `node in-guest.js <socket> <vmId>`. Plain JavaScript: it starts once per SSH command.
const { readFileSync } = require("node:fs");
const { connect } = require("node:net");

const [socket, vmId] = process.argv.slice(2);
const test = connect({ path: socket, allowHalfOpen: true });
test.write(`${JSON.stringify({ vmId: Number(vmId), command: process.env.SSH_ORIGINAL_COMMAND ?? "" })}\n`);
process.stdin.pipe(test);

let answer = "";
test.setEncoding("utf8").on("data", (chunk) => (answer += chunk));
test.on("end", () => {
  const { code, stdout, stderr, drop } = JSON.parse(answer);
  if (drop) process.kill(sshd(process.ppid), "SIGKILL");
  process.stderr.write(stderr);
  process.stdout.write(stdout, () => process.exit(code));
});

/** The process that holds this connection: between it and us there may be a shell. */
function sshd(pid) {
  const [, name, parent] = /^\d+ \((.*)\) \S+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
  return name === "sshd" ? pid : sshd(Number(parent));
}
