-- Deletes an identity, after taking it from agents and blocks; from a number of them at a time, so that the store is
-- never held up. Called again until it is gone.
--
-- ARGV  1 identity  2 how many agents, and how many blocks, at a time
-- Reply {'ok'}  {'more'}  {'missing'}
-- include: identity_link
-- include: gone
local id, most = ARGV[1], tonumber(ARGV[2])
local now = redis.call('HMGET', K.identity(id), 'seq', 'places')
if not now[1] then return {'missing'} end
local left = 0
for _, kind in ipairs({'agent', 'block'}) do
  local rows = linked_rows(kind, id, most)
  left = math.max(left, #rows)
  for _, row in ipairs(rows) do unlink(kind, row, id) end
end
if left == most then return {'more'} end
for _, place in ipairs(cjson.decode(now[2])) do redis.call('ZREM', K.identities_filed(place), id) end
redis.call('ZREM', K.identities(), id)
redis.call('DEL', K.identity(id))
gone('identities', id, now[1])
return {'ok'}
