// Clients on the Node library ws that listen to streams.
//
// The first line of standard input is a list of them in JSON, see listener in
// listener_test.go. Each counts what it gets and comes back where it was cut
// off. What they tell goes out as JSON lines.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");
const WebSocket = require("ws");
const { seen } = require("./script.js");

const tell = (news) => console.log(JSON.stringify(news));

class Listener {
  #offset; // EPOCH-N of the next message
  #heard = { error: "", extensions: "", received: [] };

  constructor(told) {
    this.told = told;
  }

  #opened(response) {
    const begin = response.headers["sluice-offset"];
    if (this.#offset && begin !== this.#offset) this.#heard.error = `asked for ${this.#offset}, got ${begin}`;
    this.#offset = begin;
    this.#heard.extensions = response.headers["sec-websocket-extensions"] ?? "";
    tell({ name: this.told.name, opened: true });
  }

  #took(data, binary, socket) {
    if (this.#done()) return;
    this.#heard.received.push(seen(binary ? data : data.toString()));
    const [, epoch, number] = /^(.*)-(\d+)$/.exec(this.#offset);
    this.#offset = `${epoch}-${Number(number) + 1}`;
    if (this.#done()) socket.close();
  }

  #done() {
    return this.#heard.error !== "" || this.#heard.received.length >= this.told.count;
  }

  #session() {
    const query = this.#offset ? `?sluice_from=${this.#offset}` : "";
    const ca = this.told.ca && fs.readFileSync(this.told.ca);
    const socket = new WebSocket(this.told.url + query, { perMessageDeflate: true, maxPayload: 64 << 20, ca });
    socket.on("upgrade", (response) => this.#opened(response));
    socket.on("message", (data, binary) => this.#took(data, binary, socket));
    socket.on("error", () => {}); // "close" follows
    return new Promise((resolve) => socket.on("close", resolve));
  }

  async listen() {
    while (!this.#done()) {
      await this.#session();
      await sleep(20);
    }
    tell({ name: this.told.name, heard: this.#heard });
  }
}

const input = readline.createInterface({ input: process.stdin });
input.once("line", (line) => JSON.parse(line).forEach((told) => new Listener(told).listen()));
input.on("close", () => process.exit());
