-- The same for DatabaseInstance, Database, Backup and Restore: their conditions follow kstatus. Ready is always there once the
-- object was looked at, Reconciling and Stalled only while they are true.
local hs = { status = "Progressing", message = "Waiting for db-operator" }

local found = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    found[condition.type] = condition
  end
end

local function says(condition)
  return condition.reason .. ": " .. condition.message
end

-- What is deleted is on its way, whatever holds it up.
if obj.metadata.deletionTimestamp ~= nil then
  local why = found.Stalled or found.Reconciling
  hs.message = "Pending deletion"
  if why ~= nil then
    hs.message = says(why)
  end
  return hs
end

-- What was said about an older spec says nothing about this one.
if found.Ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end

if obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = says(found.Ready)
elseif found.Stalled ~= nil and found.Stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = says(found.Stalled)
elseif found.Reconciling ~= nil and found.Reconciling.status == "True" then
  hs.message = says(found.Reconciling)
elseif found.Ready.status == "True" then
  hs.status = "Healthy"
  hs.message = says(found.Ready)
else
  hs.message = says(found.Ready)
end
return hs
