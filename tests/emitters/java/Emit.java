import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Logger;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** The story of README.md, sent by the OpenTelemetry SDK for Java: Emit PROTOCOL COMPRESSION ENDPOINT FUNCTION START_MILLIS. */
public final class Emit {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final String name;
  private final long start;

  private Emit(String name, long start) {
    this.name = name;
    this.start = start;
  }

  private void invoked(Tracer tracer, int number, long afterMillis, long micros, Attributes attributes, Throwable failure) {
    long micro = (start + afterMillis) * 1000;
    var span = tracer.spanBuilder("handler").setSpanKind(SpanKind.SERVER).setStartTimestamp(micro, TimeUnit.MICROSECONDS)
        .setAllAttributes(attributes).setAttribute("faas.invocation_id", name + "-" + number).setAttribute("faas.trigger", "http")
        .startSpan();
    if (failure != null) {
      span.recordException(failure);
      span.setStatus(StatusCode.ERROR, failure.getMessage());
    }
    span.end(micro + micros, TimeUnit.MICROSECONDS);
  }

  private void event(Logger logger, String event, long afterMillis, Attributes attributes) {
    logger.logRecordBuilder().setEventName(event).setTimestamp(start + afterMillis, TimeUnit.MILLISECONDS)
        .setSeverity(Severity.INFO).setAllAttributes(attributes).emit();
  }

  private boolean send(SpanExporter spans, LogRecordExporter records, MetricExporter points) {
    Resource resource = Resource.getDefault().merge(Resource.create(Attributes.builder().put("service.name", name)
        .put("faas.name", name).put("faas.version", "1.2.3").put("cloud.region", "eu-west-1").build()));
    var traces = SdkTracerProvider.builder().setResource(resource)
        .addSpanProcessor(BatchSpanProcessor.builder(spans).setExporterTimeout(PATIENCE).build()).build();
    var logs = SdkLoggerProvider.builder().setResource(resource)
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(records).setExporterTimeout(PATIENCE).build()).build();
    var metrics = SdkMeterProvider.builder().setResource(resource)
        .registerMetricReader(PeriodicMetricReader.builder(points).setInterval(Duration.ofHours(1)).build()).build();

    Tracer tracer = traces.get("emit");
    invoked(tracer, 1, 0, 250_000, Attributes.builder().put("faas.coldstart", true).put("faas.mem_usage", 64L << 20)
        .put("client.address", "203.0.113.7").build(), null);
    invoked(tracer, 2, 1000, 125_500, Attributes.builder().put("faas.coldstart", false).build(),
        new IllegalStateException("card declined"));
    Logger logger = logs.get("emit");
    event(logger, "faas.rate_limit", 2000, Attributes.builder().put("rate_limit.type", "per_ip").put("rate_limit.limit", 100L)
        .put("client.address", "203.0.113.7").build());
    event(logger, "faas.deployment", 3000, Attributes.builder().put("deployment.id", name + "-d1")
        .put("deployment.previous_version", "1.2.2").put("deployment.deployed_by", "ci").put("deployment.code_size_bytes", 12345L)
        .put("deployment.source_map_size_bytes", 678L).put("deployment.status", "succeeded").build());
    metrics.get("emit").counterBuilder("emitter.jobs").build()
        .add(3, Attributes.of(AttributeKey.stringKey("function"), name));
    return taken(traces.shutdown()) & taken(logs.shutdown()) & taken(metrics.shutdown());
  }

  private static boolean taken(CompletableResultCode result) {
    return result.join(PATIENCE.toSeconds(), TimeUnit.SECONDS).isSuccess();
  }

  public static void main(String[] arguments) {
    String compression = arguments[1];
    String endpoint = arguments[2];
    var emit = new Emit(arguments[3], Long.parseLong(arguments[4]));
    boolean taken = arguments[0].equals("grpc")
        ? emit.send(
            OtlpGrpcSpanExporter.builder().setEndpoint(endpoint).setCompression(compression).setTimeout(PATIENCE).build(),
            OtlpGrpcLogRecordExporter.builder().setEndpoint(endpoint).setCompression(compression).setTimeout(PATIENCE).build(),
            OtlpGrpcMetricExporter.builder().setEndpoint(endpoint).setCompression(compression).setTimeout(PATIENCE).build())
        : emit.send(
            OtlpHttpSpanExporter.builder().setEndpoint(endpoint + "/v1/traces").setCompression(compression).setTimeout(PATIENCE).build(),
            OtlpHttpLogRecordExporter.builder().setEndpoint(endpoint + "/v1/logs").setCompression(compression).setTimeout(PATIENCE).build(),
            OtlpHttpMetricExporter.builder().setEndpoint(endpoint + "/v1/metrics").setCompression(compression).setTimeout(PATIENCE).build());
    System.exit(taken ? 0 : 1);
  }
}
