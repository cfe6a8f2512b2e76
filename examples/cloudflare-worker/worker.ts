/** A Worker that reports itself to floe: what it answers, what it refuses, where it fails, and its deployments. */
import { type Deployment, FloeSink, type Invocation } from "./floe.ts";

/** What wrangler.toml and `wrangler secret put` give. */
export interface Env {
  FLOE_ENDPOINT: string;
  FLOE_TOKEN?: string;
  /** Whoever posts to /deployed has to show it. */
  DEPLOY_TOKEN?: string;
  FUNCTION_ID: string;
  VERSION?: { id: string };
  RATE_LIMITER?: { limit(options: { key: string }): Promise<{ success: boolean }> };
}

export interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

type CloudflareRequest = Request & { cf?: { colo?: string; region?: string } };

/** Matches `simple.limit` in wrangler.toml. */
const LIMIT = 100;

let cold = true;

/** The work itself. */
async function handle(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/fail") {
    throw new TypeError("no such customer");
  }
  return new Response("hello\n");
}

export default {
  async fetch(request: CloudflareRequest, env: Env, ctx: Context): Promise<Response> {
    const sink = new FloeSink({ endpoint: env.FLOE_ENDPOINT, token: env.FLOE_TOKEN });
    try {
      return await answer(request, env, sink);
    } finally {
      ctx.waitUntil(sink.flush().catch((error) => console.error(String(error))));
    }
  },
};

async function answer(request: CloudflareRequest, env: Env, sink: FloeSink): Promise<Response> {
  if (request.method === "POST" && new URL(request.url).pathname === "/deployed") {
    return deployed(request, env, sink);
  }
  const clientIp = request.headers.get("cf-connecting-ip") ?? undefined;
  const where = { functionId: env.FUNCTION_ID, clientIp, region: request.cf?.region, colo: request.cf?.colo };
  if (env.RATE_LIMITER && !(await env.RATE_LIMITER.limit({ key: clientIp ?? "" })).success) {
    sink.recordRateLimit({ ...where, occurredAt: Date.now(), limitType: "per_ip", limitValue: LIMIT });
    return new Response("too many requests\n", { status: 429 });
  }
  const call: Invocation = {
    ...where,
    invocationId: request.headers.get("cf-ray") ?? crypto.randomUUID(),
    startedAt: Date.now(),
    durationMs: 0,
    success: true,
    coldStart: cold,
    version: env.VERSION?.id,
  };
  cold = false;
  try {
    return await handle(request);
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    Object.assign(call, { success: false, errorType: error.name, errorMessage: error.message, stackTrace: error.stack });
    throw thrown;
  } finally {
    // Within a Worker the clock stands still while code runs: only waiting takes time.
    call.durationMs = Date.now() - call.startedAt;
    sink.record(call);
  }
}

/** Called by the deploy job, once `wrangler deploy` is done; README.md has the line. */
async function deployed(request: Request, env: Env, sink: FloeSink): Promise<Response> {
  if (!env.DEPLOY_TOKEN || request.headers.get("authorization") !== `Bearer ${env.DEPLOY_TOKEN}`) {
    return new Response("not allowed\n", { status: 401 });
  }
  const said: Omit<Deployment, "functionId" | "deployedAt"> = await request.json();
  sink.recordDeployment({ ...said, functionId: env.FUNCTION_ID, deployedAt: Date.now() });
  return new Response(null, { status: 204 });
}
