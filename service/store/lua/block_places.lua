-- block_places(id): the names of all indexes a block belongs into as it is now; none for one that does not exist.
-- include: filing
local function block_places(id)
  local hash = redis.call('HMGET', K.block(id), 'label', 'hidden', 'is_template', 'tags', 'project_id',
    'template_name', 'identity_ids')
  if not hash[1] then return {} end
  local on = shelf(hash[2], hash[3])
  local places = {on .. 'all', on .. 'label:' .. hash[1],
    on .. 'agents:' .. string.format('%d', redis.call('ZCARD', K.block_agents(id)))}
  for _, tag in ipairs(cjson.decode(hash[4] or '[]')) do table.insert(places, on .. 'tag:' .. tag) end
  if hash[5] then table.insert(places, on .. 'project:' .. hash[5]) end
  if hash[6] then table.insert(places, on .. 'template_name:' .. hash[6]) end
  for _, identity in ipairs(cjson.decode(hash[7] or '[]')) do table.insert(places, on .. 'identity:' .. identity) end
  return places
end

-- file_block(id, before): brings the indexes up to date with what a block is now; before: its places until now.
local function file_block(id, before)
  refile(K.blocks_filed, before, block_places(id), redis.call('HGET', K.block(id), 'seq'), id)
end
