-- Counts one request of a token against its rate: a minute's worth at once, given back evenly over a minute.
--
-- What is kept is the moment at which all of it is given back; a request that is refused costs nothing.
--
-- KEYS  1 the token's rate (string)
-- ARGV  1 requests per minute
-- Reply 0, or the microseconds until the next request is let in
-- include: clock
local now = tonumber(MICROS)
local minute = 60000000
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0')) + minute / tonumber(ARGV[1])
local wait = full - now - minute
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
