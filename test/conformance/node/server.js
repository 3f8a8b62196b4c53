// An echo server on the Node library ws.
//
// Prints its port, then one JSON line for each connection that ended, and
// serves until its standard input closes. What it does is told by the path,
// see echo in server_test.go.
"use strict";

const http = require("node:http");
const { WebSocketServer } = require("ws");

const options = {
  noServer: true,
  maxPayload: 64 << 20,
  handleProtocols: (offered) => (offered.has("chat.v1") ? "chat.v1" : false),
};
const deflating = new WebSocketServer({ ...options, perMessageDeflate: true });
const plain = new WebSocketServer({ ...options, perMessageDeflate: false });

function refuse(socket) {
  const body = "no entry without a ticket\n";
  socket.end(
    "HTTP/1.1 401 Unauthorized\r\n" +
      'WWW-Authenticate: Bearer realm="conformance"\r\n' +
      "X-Refused-By: the server\r\n" +
      "Content-Type: text/plain\r\n" +
      "Connection: close\r\n" +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
}

function split(data, pieces) {
  const size = Math.max(1, Math.ceil(data.length / pieces));
  const parts = [];
  for (let start = 0; start < data.length; start += size) parts.push(data.subarray(start, start + size));
  return parts.length > 0 ? parts : [data];
}

function answer(socket, url, data, binary) {
  const query = url.searchParams;
  switch (url.pathname) {
    case "/fragments":
      split(data, Number(query.get("n"))).forEach((part, i, parts) =>
        socket.send(part, { binary, fin: i === parts.length - 1 }),
      );
      break;
    case "/ping":
      socket.once("pong", (payload) => socket.send("pong " + payload));
      socket.ping(query.get("payload"));
      break;
    default:
      socket.send(data, { binary });
  }
}

function serve(socket, url) {
  const query = url.searchParams;
  socket.on("error", () => {}); // "close" follows and is told
  socket.on("close", (code, reason) =>
    console.log(JSON.stringify({ id: query.get("id") ?? "", code, reason: reason.toString() })),
  );
  socket.on("message", (data, binary) => answer(socket, url, data, binary));
  if (url.pathname === "/close") socket.close(Number(query.get("code")), query.get("reason"));
}

const server = http.createServer();
server.on("upgrade", (request, socket, head) => {
  const url = new URL(request.url, "ws://server");
  if (url.pathname === "/refuse") return refuse(socket);
  const wss = url.searchParams.get("deflate") === "0" ? plain : deflating;
  wss.handleUpgrade(request, socket, head, (connection) => serve(connection, url));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
