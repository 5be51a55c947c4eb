-- first_word(run): how long a run took until its model first said anything, in nanoseconds; kept once.
-- include: clock
local function first_word(run)
  local created = redis.call('HGET', K.run(run), 'created_at')
  if created then
    redis.call('HSETNX', K.run(run), 'ttft_ns', string.format('%.0f', (tonumber(MICROS) - tonumber(created)) * 1000))
  end
end
