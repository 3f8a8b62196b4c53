// A Socket.IO server that tells its name, $1, in every answer. It keeps its
// sessions in memory, as Socket.IO does without an adapter: a request of a
// session that reaches another instance is refused.
//
// Prints its port and serves until its standard input closes.
"use strict";

const http = require("node:http");
const { Server } = require("socket.io");

const name = process.argv[2];
const page = `<!doctype html><title>${name}</title><script src="/socket.io/socket.io.js"></script>`;

const server = http.createServer((request, response) => {
  if (request.url !== "/") return response.writeHead(404).end();
  response.setHeader("Content-Type", "text/html");
  response.end(page);
});
const io = new Server(server, { maxHttpBufferSize: 2e6 });
io.on("connection", (socket) => {
  socket.on("echo", (data, answer) => answer({ instance: name, data }));
  socket.on("drop", () => socket.conn.close());
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
