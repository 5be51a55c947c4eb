-- claim(queue, bell, most, ms, claims, jobs, tries): due jobs that nobody runs, each with its text; rings again when more
-- are due than were claimed. ms: how long a claim holds; claims, jobs, tries: what stands before a job's id in those keys.
-- Returns {ms until the next job is due or -1, job id, score, text or '', which try this is, …}
-- include: clock
-- include: ring
local TRIES_SECONDS = 88400

local function claim(queue, bell, most, ms, claims, jobs, tries)
  local claimed, reply, offset, more = 0, {-1}, 0, false
  while not more do
    local due = redis.call('ZRANGEBYSCORE', queue, '-inf', string.format('%.0f', MILLIS), 'WITHSCORES', 'LIMIT', offset, 100)
    if #due == 0 then break end
    local running = {}
    for i = 1, #due, 2 do table.insert(running, claims .. due[i]) end
    local held = redis.call('MGET', unpack(running))
    for place, name in ipairs(running) do
      local job, score = due[2 * place - 1], due[2 * place]
      if not held[place] and claimed >= most then
        more = true
        break
      elseif not held[place] then
        claimed = claimed + 1
        redis.call('SET', name, '1', 'PX', ms)
        table.insert(reply, job)
        table.insert(reply, score)
        table.insert(reply, redis.call('GET', jobs .. job) or '')
        table.insert(reply, redis.call('INCR', tries .. job))
        redis.call('EXPIRE', tries .. job, TRIES_SECONDS)
      end
    end
    offset = offset + 100
  end
  if more then ring(bell) end
  local nearest = redis.call('ZRANGEBYSCORE', queue, string.format('(%.0f', MILLIS), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if nearest[2] then reply[1] = math.max(1, math.floor(tonumber(nearest[2]) - MILLIS)) end
  return reply
end
