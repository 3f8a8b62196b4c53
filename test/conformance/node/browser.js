// Starts the Chromium that $CHROMIUM names, headless, with a profile of its
// own in $TMPDIR, and in no way able to reach anything but this machine.
"use strict";

const { chromium } = require("playwright-core");

function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-proxy-server",
      "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    ],
    timeout: 120_000,
    handleSIGINT: false,
    handleSIGHUP: false,
    handleSIGTERM: false,
  });
}

module.exports = { launch };
