-- The doorbell of a queue (list): it holds one token at most, so that a crowd of rings wakes one worker at a time.
local function ring(bell)
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end
