import { createServer } from "node:http";

/** What a pod of the lab runs: says who it is and whom it sees, on every port that it is given. Arguments: name, address, ports. */
const [name = "", address, ...ports] = process.argv.slice(2);
for (const port of ports)
  createServer((request, response) => {
    response.setHeader("connection", "close");
    response.end(JSON.stringify({ pod: name, peer: request.socket.remoteAddress?.replace(/^::ffff:/, "") }));
  }).listen(Number(port), address);
