-- Claims due jobs that nobody runs, each with its text, and rings again when more are due than were claimed.
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 most to claim  2 ms a claim holds  3 prefix of in-progress keys  4 of jobs  5 of tries
--       6 whose claims they are
-- Reply {ms until the next job is due or -1, job id, score, text or '', which try this is, …}
local TRIES_SECONDS = 88400
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, claimed, reply, offset, more = tonumber(ARGV[1]), 0, {-1}, 0, false
while not more do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', offset, 100)
  if #due == 0 then break end
  for i = 1, #due, 2 do
    local running = ARGV[3] .. due[i]
    if claimed >= most then
      more = more or redis.call('EXISTS', running) == 0
    elseif redis.call('SET', running, ARGV[6], 'NX', 'PX', ARGV[2]) then
      claimed = claimed + 1
      table.insert(reply, due[i])
      table.insert(reply, due[i + 1])
      table.insert(reply, redis.call('GET', ARGV[4] .. due[i]) or '')
      table.insert(reply, redis.call('INCR', ARGV[5] .. due[i]))
      redis.call('EXPIRE', ARGV[5] .. due[i], TRIES_SECONDS)
    end
  end
  offset = offset + 100
end
if more and redis.call('LLEN', KEYS[2]) == 0 then redis.call('RPUSH', KEYS[2], '1') end
local nearest = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if nearest[2] then reply[1] = math.max(1, math.floor(tonumber(nearest[2]) - now)) end
return reply
