/**
 * Opens a page of the origin http://127.0.0.1:PORT in Chromium, which sends to ENDPOINT, and prints what the page said.
 *
 *     browse.mjs CHROMIUM PORT ENDPOINT NAME
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [chromium, port, endpoint, name] = process.argv.slice(2);
const bundle = await readFile(new URL("page.js", import.meta.url));
const story = JSON.stringify({ endpoint, name });
const page = `<!doctype html><title>page</title><script>window.story = ${story}</script><script type="module" src="/page.js"></script>`;

const done = {};
const said = new Promise((resolve, reject) => Object.assign(done, { resolve, reject }));
const server = createServer(async (request, response) => {
  if (request.url === "/done") {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end();
    done.resolve(body);
  } else if (request.url === "/page.js") {
    response.setHeader("Content-Type", "text/javascript").end(bundle);
  } else {
    response.setHeader("Content-Type", "text/html").end(page);
  }
});
await new Promise((listening) => server.listen(Number(port), "127.0.0.1", listening));

const profile = await mkdtemp(join(tmpdir(), "floe-browser-"));
const browser = spawn(chromium, [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
  `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`,
], { stdio: ["ignore", "ignore", "pipe"] });
let errors = "";
browser.stderr.on("data", (chunk) => { errors = (errors + chunk).slice(-4000); });
browser.on("error", done.reject);
browser.on("exit", (code) => done.reject(new Error(`the browser ended with ${code}: ${errors}`)));
const patience = setTimeout(() => done.reject(new Error(`the page said nothing: ${errors}`)), 120_000);
try {
  console.log(await said);
} finally {
  clearTimeout(patience);
  browser.removeAllListeners("exit");
  const ended = new Promise((resolve) => browser.on("exit", resolve));
  if (browser.kill()) await ended;
  server.closeAllConnections();
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
