-- lineage(): which line of writes this server's data is on. Every start and every promotion begins a new one, for
-- what came last on the line before may be missing. '' where the server does not tell.
local lineage
do
  local known
  lineage = function()
    if not known then
      local told = redis.pcall('INFO', 'replication')
      known = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
    end
    return known
  end
end
