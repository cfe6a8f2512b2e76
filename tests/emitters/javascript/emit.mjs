// The story of README.md, sent by the OpenTelemetry SDK for JavaScript on Node.
//
//     node emit.mjs PROTOCOL COMPRESSION ENDPOINT FUNCTION START_MILLIS
import { SpanKind, SpanStatusCode, diag, DiagConsoleLogger, DiagLogLevel } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes, defaultResource } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";

const [protocol, compression, endpoint, name, startMillis] = process.argv.slice(2);
const start = Number(startMillis);
const flavour = { grpc: "grpc", "http/protobuf": "proto", "http/json": "http" }[protocol];

let failed = false;
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.ERROR);

/** The exporter of one signal; it says aloud when something was not taken. */
async function exporter(signal, className) {
  const module = await import(`@opentelemetry/exporter-${signal}-otlp-${flavour}`);
  const path = { trace: "traces", logs: "logs", metrics: "metrics" }[signal];
  const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/${path}`;
  const made = new module[className]({ url, compression, timeoutMillis: 30_000 });
  const send = made.export.bind(made);
  made.export = (batch, done) => send(batch, (result) => {
    if (result.code !== 0) {
      failed = true;
      console.error(`${signal}: ${result.error}`);
    }
    done(result);
  });
  return made;
}

const resource = defaultResource().merge(resourceFromAttributes({
  "service.name": name, "faas.name": name, "faas.version": "1.2.3", "cloud.region": "eu-west-1",
}));
const traces = new BasicTracerProvider({
  resource, spanProcessors: [new BatchSpanProcessor(await exporter("trace", "OTLPTraceExporter"), { exportTimeoutMillis: 60_000 })],
});
const logs = new LoggerProvider({
  resource, processors: [new BatchLogRecordProcessor({ exporter: await exporter("logs", "OTLPLogExporter"), exportTimeoutMillis: 60_000 })],
});
const reader = new PeriodicExportingMetricReader({
  exporter: await exporter("metrics", "OTLPMetricExporter"), exportIntervalMillis: 3_600_000, exportTimeoutMillis: 60_000,
});
const metrics = new MeterProvider({ resource, readers: [reader] });

function invoked(number, at, millis, attributes, error) {
  const span = traces.getTracer("emit").startSpan("handler", {
    kind: SpanKind.SERVER, startTime: at, root: true,
    attributes: { "faas.invocation_id": `${name}-${number}`, "faas.trigger": "http", ...attributes },
  });
  if (error) {
    span.recordException(error, at + 1);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  span.end(at + millis);
}

function event(eventName, at, attributes) {
  logs.getLogger("emit").emit({ eventName, timestamp: at, severityNumber: SeverityNumber.INFO, attributes });
}

invoked(1, start, 250, { "faas.coldstart": true, "faas.mem_usage": 64 * 1024 * 1024, "client.address": "203.0.113.7" });
invoked(2, start + 1000, 125.5, { "faas.coldstart": false }, new TypeError("card declined"));
event("faas.rate_limit", start + 2000, { "rate_limit.type": "per_ip", "rate_limit.limit": 100, "client.address": "203.0.113.7" });
event("faas.deployment", start + 3000, {
  "deployment.id": `${name}-d1`, "deployment.previous_version": "1.2.2", "deployment.deployed_by": "ci",
  "deployment.code_size_bytes": 12345, "deployment.source_map_size_bytes": 678, "deployment.status": "succeeded",
});
metrics.getMeter("emit").createCounter("emitter.jobs").add(3, { function: name });

await traces.shutdown();
await logs.shutdown();
await metrics.shutdown();
process.exit(failed ? 1 : 0);
