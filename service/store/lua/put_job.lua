-- put_job(queue, key, bell, id, text, delay, expires): a job into arq's queue in arq's own format, unless its id is known,
-- and a ring. A job whose text is there and whose place in the queue is gone would never be found: it is put again.
-- delay, expires: ms. Returns 1, or 0 for one that is known.
-- include: clock
-- include: ring
local function put_job(queue, key, bell, id, text, delay, expires)
  if redis.call('EXISTS', key) == 1 and redis.call('ZSCORE', queue, id) then return 0 end
  redis.call('PSETEX', key, expires, text)
  redis.call('ZADD', queue, string.format('%.0f', MILLIS + tonumber(delay)), id)
  ring(bell)
  return 1
end
