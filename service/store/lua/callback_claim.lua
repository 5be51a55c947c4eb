-- Takes runs whose callback is due off the list, each once: from now on it counts as tried. Until somebody tells how
-- that went, its error says that nobody did.
--
-- ARGV  1 most to take  2 the error
-- Reply {run, …}
-- include: clock
local taken = {}
for _, run in ipairs(redis.call('ZRANGE', K.callbacks(), 0, tonumber(ARGV[1]) - 1)) do
  redis.call('ZREM', K.callbacks(), run)
  if redis.call('EXISTS', K.run(run)) == 1 then
    redis.call('HDEL', K.run(run), 'callback')
    redis.call('HSET', K.run(run), 'callback_sent_at', MICROS, 'callback_error', ARGV[2])
    table.insert(taken, run)
  end
end
return taken
