// What a Socket.IO client does in the tests, in Node and in a page alike. It
// keeps its connections between the steps.
"use strict";

(() => {
  const sockets = [];

  const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

  function same(a, b) {
    if (typeof a === "string") return a === b;
    const [x, y] = [new Uint8Array(a), new Uint8Array(b)];
    return x.length === y.length && x.every((byte, i) => byte === y[i]);
  }

  // echo says which instance answered.
  async function echo(socket, data) {
    const answer = await socket.timeout(10_000).emitWithAck("echo", data);
    if (!same(data, answer.data)) throw new Error("an echo came back changed");
    return answer.instance;
  }

  // settled waits for the transport that is meant to stay, and tries it out.
  async function settled(socket, upgrades) {
    while (!socket.connected) await once(socket, "connect");
    const engine = socket.io.engine;
    const first = engine.transport.name;
    if (upgrades && first !== "websocket") await once(engine, "upgrade");
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) % 251);
    const instances = [await echo(socket, "text äöü 水門"), await echo(socket, bytes.buffer), await echo(socket, "")];
    if (new Set(instances).size > 1) throw new Error("one session on several instances: " + instances);
    return { first, transport: engine.transport.name, instance: instances[0] };
  }

  // open connects so many clients, one after another as people come.
  async function open(io, url, count, options) {
    const states = [];
    for (let i = 0; i < count; i++) {
      const socket = io(url, { forceNew: true, withCredentials: true, reconnectionDelay: 50, ...options });
      socket.upgrades = options.upgrade !== false;
      sockets.push(socket);
      states.push(await settled(socket, socket.upgrades));
    }
    return states;
  }

  // reconnect breaks all connections, by the client or by the server, and
  // waits until they are back.
  function reconnect(by) {
    return Promise.all(
      sockets.map(async (socket) => {
        const gone = once(socket, "disconnect");
        if (by === "server") socket.emit("drop");
        else socket.io.engine.close();
        await gone;
        return settled(socket, socket.upgrades);
      }),
    );
  }

  // again tries all connections out, wherever they are now.
  function again() {
    return Promise.all(
      sockets.map(async (socket) => {
        for (let tries = 0; ; tries++) {
          try {
            return await settled(socket, socket.upgrades);
          } catch (error) {
            if (tries === 3) throw error; // it lost its instance meanwhile
          }
        }
      }),
    );
  }

  globalThis.play = { open, reconnect, again };
})();
