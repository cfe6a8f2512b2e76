package org.apache.iceberg.rest;

import java.net.InetSocketAddress;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.catalog.Catalog;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** The catalog of Apache's REST fixture on one loopback port: the fixture's own main listens on every interface. */
final class RestCatalog {
  private RestCatalog() {}

  /** Argument: the port. Settings: the CATALOG_* variables of the fixture. */
  public static void main(String[] arguments) throws Exception {
    Map<String, String> settings = RCKUtils.environmentCatalogConfig();
    Catalog catalog = CatalogUtil.buildIcebergCatalog("backend", settings, new Configuration());
    var adapter = new RESTServerCatalogAdapter(new RESTCatalogServer.CatalogContext(catalog, settings));
    var paths = new ServletContextHandler();
    paths.addServlet(new ServletHolder(new RESTCatalogServlet(adapter)), "/*");
    var server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    server.setHandler(paths);
    server.start();
    server.join();
  }
}
