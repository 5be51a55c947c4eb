-- link(kind, id, identity), unlink(kind, id, identity): an identity among those of an agent or a block, or no longer.
-- kind is 'agent' or 'block'; the row must exist. Twice is no change.
-- linked_rows(kind, identity, most): ids of the agents or blocks that have it, hidden ones too.
-- include: block_places
-- include: agent_places
local function set_links(kind, id, change)
  local hash = kind == 'agent' and K.agent(id) or K.block(id)
  local now = cjson.decode(redis.call('HGET', hash, 'identity_ids') or '[]')
  local places = kind == 'agent' and agent_places(id) or block_places(id)
  local after = change(now)
  redis.call('HSET', hash, 'identity_ids', #after == 0 and '[]' or cjson.encode(after))
  if kind == 'agent' then file_agent(id, places) else file_block(id, places) end
end

local function unlink(kind, id, identity)
  set_links(kind, id, function(now)
    local after = {}
    for _, one in ipairs(now) do if one ~= identity then table.insert(after, one) end end
    return after
  end)
end

local function link(kind, id, identity)
  set_links(kind, id, function(now)
    for _, one in ipairs(now) do if one == identity then return now end end
    table.insert(now, identity)
    return now
  end)
end

local function linked_rows(kind, identity, most)
  local found = {}
  local index = kind == 'agent' and K.agents_filed or K.blocks_filed
  for _, place in ipairs(SHELVES) do
    for _, id in ipairs(redis.call('ZRANGE', index(place .. 'identity:' .. identity), 0, most - 1)) do
      if #found < most then table.insert(found, id) end
    end
  end
  return found
end
