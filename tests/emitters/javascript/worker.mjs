// Calls the example Worker as the platform would: a visit that fails, one that a limit turns away, a deployment. Times of its rows are the clock's.
//
//     node worker.mjs HTTP_ENDPOINT
import worker from "./worker/worker.js";

const pending = [];
const context = { waitUntil: (promise) => pending.push(promise) };
const env = {
  FLOE_ENDPOINT: process.argv[2], FLOE_TOKEN: "not-a-secret", DEPLOY_TOKEN: "not-one-either", FUNCTION_ID: "shop", VERSION: { id: "v7" },
  RATE_LIMITER: { limit: async ({ key }) => ({ success: key !== "203.0.113.8" }) },
};

function visit(path, client, ray) {
  const request = new Request(`https://shop.example${path}`, { headers: { "cf-connecting-ip": client, "cf-ray": ray } });
  request.cf = { colo: "LHR", region: "WEUR" };
  return worker.fetch(request, env, context);
}

let failed;
await visit("/fail", "203.0.113.7", "8f1d2c3b4a5e6f70-LHR").catch((error) => { failed = error.message; });
const limited = await visit("/", "203.0.113.8", "8f1d2c3b4a5e6f71-LHR");
const report = { deploymentId: "d-7", version: "v7", previousVersion: "v6", deployedBy: "ci", codeSizeBytes: 12345, sourceMapSizeBytes: 678 };
const post = (token) => worker.fetch(new Request("https://shop.example/deployed", {
  method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(report),
}), env, context);
const refused = await post("a guess");
const deployed = await post("not-one-either");
await Promise.all(pending);
console.log(JSON.stringify({ failed, limited: limited.status, refused: refused.status, deployed: deployed.status }));
