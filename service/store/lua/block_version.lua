-- What a block was at a version: the block now, and what has to be taken back to come there. Reads only.
-- A whole value kept on the way saves taking back what came after it.
--
-- ARGV  1 block  2 version
-- Reply {'ok', hash as a flat list, '1' if a whole value was found, that value, {position, removed, added, …} oldest
--        first, {what configure replaced as JSON, …} newest first, entry of the version as a flat list}
--       {'missing'}  {'unknown', newest version}  {'gone', oldest version kept}
local CHUNK = 100
local block, wanted = K.block(ARGV[1]), tonumber(ARGV[2])
local version = tonumber(redis.call('HGET', block, 'version'))
if not version then return {'missing'} end
if wanted < 1 or wanted > version then return {'unknown', version} end
local history = K.block_history(ARGV[1])
local entry = redis.call('XRANGE', history, wanted .. '-0', wanted .. '-0')[1]
if not entry then
  local oldest = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
  return {'gone', oldest and tonumber(string.match(oldest[1], '^%d+')) or version + 1}
end

local whole, splices, were = nil, {}, {}
local function pass(fields)
  local said = {}
  for i = 1, #fields, 2 do said[fields[i]] = fields[i + 1] end
  if said.were then table.insert(were, 1, said.were) end
  if whole then return end
  for _, name in ipairs({'position', 'removed', 'added'}) do table.insert(splices, said[name]) end
  whole = said.value
end

local from = wanted + 1
while from <= version do
  local found = redis.call('XRANGE', history, from .. '-0', '+', 'COUNT', CHUNK)
  for _, later in ipairs(found) do pass(later[2]) end
  from = from + CHUNK
end
return {'ok', redis.call('HGETALL', block), whole and '1' or '', whole or '', splices, were, entry[2]}
