-- gone(kind, id, seq): keeps the place of a deleted row for whoever pages on from it (service/store/places.py).
-- The newest PLACES_KEPT of a kind are kept, for a day after the last deletion.
local PLACES_KEPT = 10000
local PLACES_SECONDS = 86400

local function gone(kind, id, seq)
  if not seq then return end
  if redis.call('HSET', K.gone(kind), id, seq) == 1 then redis.call('RPUSH', K.gone_order(kind), id) end
  if redis.call('LLEN', K.gone_order(kind)) > PLACES_KEPT then
    redis.call('HDEL', K.gone(kind), redis.call('LPOP', K.gone_order(kind)))
  end
  redis.call('EXPIRE', K.gone(kind), PLACES_SECONDS)
  redis.call('EXPIRE', K.gone_order(kind), PLACES_SECONDS)
end
