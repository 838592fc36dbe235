-- One of ten thousand states after another, in no order that a cache would know.
local n = 0
request = function()
    n = (n + 7919) % 10000
    return wrk.format("GET", "/queries/counters/instance-" .. n)
end
