-- Claims due jobs that nobody runs, each with its text, and rings again when more are due than were claimed.
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 most to claim  2 ms a claim holds  3 prefix of in-progress keys  4 of jobs  5 of tries
--       6 whose claims they are
-- Reply {ms until the next job is due or -1, job id, score, text or '', which try this is, …}
-- include: clock
-- include: ring
local TRIES_SECONDS = 88400
local most, claimed, reply, offset, more = tonumber(ARGV[1]), 0, {-1}, 0, false
while not more do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', MILLIS), 'WITHSCORES', 'LIMIT', offset, 100)
  if #due == 0 then break end
  local running = {}
  for i = 1, #due, 2 do table.insert(running, ARGV[3] .. due[i]) end
  local held = redis.call('MGET', unpack(running))
  for place, claim in ipairs(running) do
    local job, score = due[2 * place - 1], due[2 * place]
    if not held[place] and claimed >= most then
      more = true
      break
    elseif not held[place] then
      claimed = claimed + 1
      redis.call('SET', claim, ARGV[6], 'PX', ARGV[2])
      table.insert(reply, job)
      table.insert(reply, score)
      table.insert(reply, redis.call('GET', ARGV[4] .. job) or '')
      table.insert(reply, redis.call('INCR', ARGV[5] .. job))
      redis.call('EXPIRE', ARGV[5] .. job, TRIES_SECONDS)
    end
  end
  offset = offset + 100
end
if more then ring(KEYS[2]) end
local nearest = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', MILLIS), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if nearest[2] then reply[1] = math.max(1, math.floor(tonumber(nearest[2]) - MILLIS)) end
return reply
