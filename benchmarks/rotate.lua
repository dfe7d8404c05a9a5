-- For wrk: send the rows of the file named on the command line in turn, and print the outcome as one line of JSON.

local requests = {}
local turn = 0

function init(arguments)
  for row in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, row)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

-- Where BENCH_DELAY is set, callers wait up to so many milliseconds between two requests.
local pause = tonumber(os.getenv("BENCH_DELAY") or "0")

if pause > 0 then
  function delay()
    return math.random(0, pause)
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout + errors.status
  ))
end
