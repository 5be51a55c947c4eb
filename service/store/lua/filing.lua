-- refile(index, before, after, seq, id): takes a row out of the indexes in `before` and puts it into those in
-- `after`, lists of names that `index` makes keys of; what is in both is left alone.
-- An index of a tag that comes or goes is told to the list of tags, one of a count of agents to the list of counts.
-- shelf(hidden, template): the first word of a row's indexes; what lists leave out unasked lies on a shelf of its own.
local SHELVES = {'', 'hidden.', 'template.', 'hidden.template.'}

local function shelf(hidden, template)
  return (hidden == '1' and 'hidden.' or '') .. (template == '1' and 'template.' or '')
end

local function in_use(index, facet)
  for _, place in ipairs(SHELVES) do
    if redis.call('EXISTS', index(place .. facet)) == 1 then return true end
  end
  return false
end

local function noted(name)
  local tag = string.match(name, '^[a-z.]-tag:(.*)$')
  if tag then
    if in_use(K.blocks_filed, 'tag:' .. tag) or in_use(K.agents_filed, 'tag:' .. tag) then
      redis.call('ZADD', K.tags(), 0, tag)
    else
      redis.call('ZREM', K.tags(), tag)
    end
    return
  end
  local count = string.match(name, '^[a-z.]-agents:(%d+)$')
  if count then
    if in_use(K.blocks_filed, 'agents:' .. count) then
      redis.call('ZADD', K.block_counts(), count, count)
    else
      redis.call('ZREM', K.block_counts(), count)
    end
  end
end

local function refile(index, before, after, seq, id)
  local stays, was = {}, {}
  for _, name in ipairs(after) do stays[name] = true end
  for _, name in ipairs(before) do
    was[name] = true
    if not stays[name] then redis.call('ZREM', index(name), id) end
  end
  for _, name in ipairs(after) do
    if not was[name] then redis.call('ZADD', index(name), seq, id) end
  end
  for _, name in ipairs(before) do if not stays[name] then noted(name) end end
  for _, name in ipairs(after) do if not was[name] then noted(name) end end
end
