-- What wrk has measured as JSON, since its own report changes units with the figures. Nothing, and exit status 1, if
-- there was a response other than 2xx or 3xx, or an error of a connection, about which wrk is silent in its status.

function done(summary, latency, requests)
   local failed = 0
   for kind, count in pairs(summary.errors) do
      if count > 0 then
         io.stderr:write(string.format("%d errors: %s\n", count, kind))
         failed = failed + count
      end
   end
   if failed > 0 or summary.requests == 0 then
      io.stderr:write(string.format("%d of %d requests failed\n", failed, summary.requests))
      io.stdout:flush()
      os.exit(1)
   end
   print(string.format(
      '{"requests_per_second": %.2f, "latency_us": {"p50": %d, "p99": %d}}',
      summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99)))
end
